"""`--help` of the training commands: one screen with what is asked for most."""

import sys
from pathlib import Path

_FIT = """\
usage: {program} fit --config NAME|FILE.yaml [options]

Train a model. `{program} configs` lists the configs that ship, `{program} configs NAME` prints one.
Options replace single values of the config; one that is mistyped is answered with the nearest.

what to learn
  --data.source.path PATH        folder, table or file of structures (with cgcnn-folder)
  --data_root FOLDER             where the public data sets lie
  --model.targets NAME           column to learn; of several: a,b
  --data.on_invalid skip         leave out what cannot be used, listed in rejected.csv
  --data.exclude '[val, test]'   keep out of training what these splits have in any guise

which model
  --model.model CLASS            such as MEGNet; `--model.model.help CLASS` lists what it takes,
                                 and --model.model.NAME VALUE sets it
  --init_from FOLDER             start from the weights of a run or artifact
  --freeze '[NAME.*]'            leave these parameters as they are

how long, how fast
  --trainer.max_epochs N         the learning rate follows whatever is set here
  --model.optimizer.lr RATE
  --data.batch_size N            of all devices together
  --trainer.callbacks+ EarlyStopping --trainer.callbacks.monitor val/mae \\
      --trainer.callbacks.patience 20          end when validation has not improved for so long
  --trainer.accelerator cpu      or gpu; --trainer.devices N of them
  --trainer.precision bf16-mixed
  --seed_everything N            of weights; --data.seed N of splits and order

where it goes
  --trainer.default_root_dir FOLDER   by default runs/CONFIG/NUMBER
  --ckpt_path last               go on with a training that was ended
  --overwrite true               replace a training that is in the folder
  --print_config                 print the whole config, and do nothing

--help-all lists every option.
"""
_SCORE = """\
usage: {program} {command} --config NAME|FILE.yaml [options]

{purpose}, by the best checkpoint of the
config's newest run. Data and model are named as by `{program} fit`, with the same options.

  --ckpt_path PATH               another checkpoint; `last` and `best` are those of the run
  --init_from FOLDER             an artifact in place of a run
  --trainer.default_root_dir FOLDER   the run, where it is not the newest
  --data.source.path PATH        other data (with cgcnn-folder)
  --data.batch_size N
  --trainer.accelerator cpu      or gpu; --trainer.devices N of them

--help-all lists every option.
"""
_PURPOSES = {
    "validate": "Score the crystals of the validation split",
    "test": "Score the crystals of the test split, and write predictions/test.csv",
    "predict": "Predict all crystals of the data, and write predictions/predict.csv",
}


def short_help(command: str) -> str:
    """The page of `fit`, `validate`, `test` or `predict`, with the name of the program."""
    program = Path(sys.argv[0]).name.removesuffix(".py")
    if command == "fit":
        return _FIT.format(program=program)
    return _SCORE.format(program=program, command=command, purpose=_PURPOSES[command])
