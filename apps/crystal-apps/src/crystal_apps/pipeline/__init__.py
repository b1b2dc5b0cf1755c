"""`crystal run`: named stages of training, each started from what earlier ones left."""
