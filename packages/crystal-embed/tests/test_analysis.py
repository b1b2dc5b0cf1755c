import numpy as np
import pytest

pytest.importorskip("catboost")
pytest.importorskip("matplotlib")

from sklearn.decomposition import PCA
from sklearn.metrics import r2_score, silhouette_samples
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.preprocessing import StandardScaler

from crystal_data import SYMBOLS
from crystal_embed import ElementTable, load_table
from crystal_embed.analysis import k_means, nearest, project, pushed_apart, table_position
from crystal_embed.analysis.clusters import scan_clusters, tree
from crystal_embed.analysis.prediction import Regressor, cross_validated_r2, shap_values
from crystal_embed.analysis.properties import element_properties

QUICK = Regressor(num_iterations=60)


def made_table(num_elements=40, width=6, groups=4, spread=0.1, **changes):
    """Elements around the corners of a box, the next corner with each atomic number."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(groups, width)) * 5
    numbers = np.arange(1, num_elements + 1)
    vectors = centres[numbers % groups] + rng.normal(size=(num_elements, width)) * spread
    fields = {"name": "made", "atomic_numbers": numbers, "vectors": vectors}
    return ElementTable(**{**fields, **changes})


def test_components_are_those_of_scikit_learn():
    table = load_table("random:40")
    projection = project(table, num_components=7)
    scaled = StandardScaler().fit_transform(table.vectors.astype(np.float64))
    other = PCA(n_components=7, svd_solver="full").fit(scaled)
    np.testing.assert_allclose(projection.standardised, scaled, atol=1e-9)
    np.testing.assert_allclose(projection.explained, other.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(
        np.abs(projection.coords), np.abs(other.transform(scaled)), atol=1e-9
    )


def test_components_keep_all_that_there_is():
    table = made_table(width=6)
    projection = project(table)
    assert projection.coords.shape == (40, 6)
    assert projection.explained.sum() == pytest.approx(1)
    few = project(made_table(num_elements=5, width=6))
    assert few.coords.shape == (5, 4)
    np.testing.assert_allclose(
        euclidean_distances(few.coords), euclidean_distances(few.standardised), atol=1e-9
    )


def test_a_constant_dimension_and_a_scale_are_no_trouble():
    constant = np.ones((10, 2))
    constant[:, 1] = np.arange(10)
    projection = project(ElementTable("t", np.arange(1, 11), constant))
    np.testing.assert_array_equal(projection.standardised[:, 0], 0)
    coords, shares = project(
        ElementTable("scale", np.arange(1, 11), np.arange(10.0).reshape(-1, 1))
    ).plane
    assert coords.shape == (10, 2)
    assert shares == (pytest.approx(1), 0)


def test_untrained_elements_are_left_out():
    table = made_table(metadata={"random_elements": ["H", "Fe"]})
    assert set(made_table().symbols) - set(project(table).symbols) == {"H", "Fe"}
    lonely = made_table(num_elements=4, metadata={"random_elements": ["H", "He"]})
    with pytest.raises(ValueError, match="'made': 2 elements are too few"):
        project(lonely)


def test_clusters_find_groups_that_are_there_whatever_the_order():
    table = made_table(num_elements=64, width=5, groups=8)
    clusters = k_means(project(table), 8)
    assert clusters.labels == tuple(np.arange(64) % 8)
    order = np.random.default_rng(1).permutation(64)
    shuffled = ElementTable("made", table.atomic_numbers[order], table.vectors[order])
    assert k_means(project(shuffled), 8) == clusters
    assert all((SYMBOLS.index(s) - 1) % 8 == 0 for s in clusters.members()[0])


def test_silhouette_and_inertia_are_what_they_are_called():
    projection = project(made_table())
    scan = scan_clusters(projection)
    assert scan.best == 4
    assert list(scan.clusters) == list(range(1, 13))
    labels = np.array(scan.clusters[4].labels)
    # From the definition: how much nearer the own cluster is than the next one.
    distances = euclidean_distances(projection.coords)
    own = np.array([distances[k][labels == labels[k]].sum() / 9 for k in range(40)])
    other = np.array(
        [min(distances[k][labels == c].mean() for c in {*labels} - {labels[k]}) for k in range(40)]
    )
    expected = (other - own) / np.maximum(own, other)
    np.testing.assert_allclose(silhouette_samples(projection.coords, labels), expected, atol=1e-9)
    assert scan.silhouette[4] == pytest.approx(expected.mean())
    centres = np.stack([projection.coords[labels == c].mean(axis=0) for c in range(4)])
    assert scan.clusters[4].inertia == pytest.approx(
        ((projection.coords - centres[labels]) ** 2).sum()
    )
    assert scan.clusters[1].inertia == pytest.approx((projection.coords**2).sum())


def test_the_tree_joins_groups_last():
    joined = tree(project(made_table(num_elements=30, groups=3)))
    assert joined.shape == (29, 4)
    assert (joined[:-2, 2] < 0.2).all()
    assert (joined[-2:, 2] > 0.2).all()


def test_neighbours_are_the_nearest():
    projection = project(load_table("atom_init"))
    found = nearest(projection, 3)
    alike, apart = (
        measure(projection.standardised) for measure in (cosine_similarity, euclidean_distances)
    )
    row = projection.symbols.index("Li")
    others = [k for k in range(100) if k != row]
    by_cosine = sorted(others, key=lambda k: -alike[row, k])[:3]
    assert [s for s, _ in found["Li"].by_cosine] == [projection.symbols[k] for k in by_cosine]
    assert found["Li"].by_cosine[0][1] == pytest.approx(alike[row].take(others).max())
    assert found["Li"].by_distance[0][1] == pytest.approx(apart[row].take(others).min())
    assert "Na" in [s for s, _ in found["Li"].by_cosine]
    assert all(symbol not in dict(one.by_cosine) for symbol, one in found.items())


def test_every_element_has_a_place_of_its_own():
    places = {symbol: table_position(symbol) for symbol in SYMBOLS[1:]}
    assert len(set(places.values())) == 118
    assert places["H"] == (1, 1)
    assert places["He"] == (1, 18)
    assert places["B"] == (2, 13)
    assert places["Sc"] == (4, 3)
    assert places["Zn"] == (4, 12)
    assert places["Lu"] == (6, 3)
    assert places["Hf"] == (6, 4)
    assert places["La"] == (9, 3)
    assert places["Yb"] == (9, 16)
    assert places["Og"] == (7, 18)


def test_boxes_are_pushed_apart():
    places = pushed_apart(np.zeros((6, 2)), np.array([2.0, 1.0]))
    overlap = np.array([2.0, 1.0]) - np.abs(places[:, None] - places[None])
    assert not ((overlap > 0.05).all(axis=-1) & ~np.eye(6, dtype=bool)).any()
    apart = np.array([[0.0, 0.0], [3.0, 0.0]])
    np.testing.assert_array_equal(pushed_apart(apart, np.array([2.0, 1.0])), apart)


# Handbook values, rounded.
@pytest.mark.parametrize(
    ("name", "values", "tolerance"),
    [
        ("atomic_radius", {"Li": 1.45, "O": 0.60, "Cs": 2.60}, 0.001),
        ("boiling_point", {"Fe": 3134, "Hg": 630}, 0.01),
        ("melting_point", {"W": 3695, "Na": 371}, 0.01),
        ("electrical_conductivity", {"Cu": 59.6, "Ag": 63}, 0.01),
        ("log10_electrical_conductivity", {"Cu": 1.775, "Si": -3}, 0.001),
        ("first_ionisation_energy", {"H": 13.598, "Cs": 3.894}, 0.001),
    ],
)
def test_properties_are_those_of_handbooks(name, values, tolerance):
    known = next(one for one in element_properties() if one.name == name)
    assert len(known.values) > 80
    for symbol, value in values.items():
        assert known.values[symbol] == pytest.approx(value, rel=tolerance)


def property_table():
    known = {one.name: one for one in element_properties()}["melting_point"]
    symbols = list(known.values)
    values = np.array([known.values[s] for s in symbols])
    noise = np.random.default_rng(0).normal(size=(len(symbols), 3))
    return np.concatenate([noise, values[:, None]], axis=1), values


def test_a_table_that_holds_the_property_tells_it_and_shuffled_values_are_not_told():
    vectors, values = property_table()
    true = [cross_validated_r2(Regressor(), vectors, values, seed=s, num_folds=5) for s in range(3)]
    assert min(true) > 0.95
    noise = [
        cross_validated_r2(QUICK, vectors, values, seed=s, num_folds=5, shuffle=True)
        for s in range(3)
    ]
    assert max(noise) < 0.1
    assert np.mean(noise) < 0


def test_r2_is_that_of_all_held_out_predictions_together():
    class Recorded(Regressor):
        def fit(self, vectors, values, seed):
            asked.append(len(values))
            return Mean(values.mean())

    class Mean:
        def __init__(self, value):
            self.value = value

        def predict(self, vectors):
            given.extend(vectors[:, 0])
            return np.full(len(vectors), self.value)

    asked, given = [], []
    values = np.random.default_rng(0).normal(size=23)
    rows = np.arange(23.0).reshape(-1, 1)
    found = cross_validated_r2(Recorded(), rows, values, seed=4, num_folds=5)
    assert asked == [18, 18, 18, 19, 19]
    assert sorted(given) == list(range(23)), "each element is predicted once"
    order = np.array(given, dtype=int)
    predicted = np.empty(23)
    for start, stop in ((0, 5), (5, 10), (10, 15), (15, 19), (19, 23)):
        held = order[start:stop]
        predicted[held] = np.delete(values, held).mean()
    assert found == pytest.approx(r2_score(values, predicted))


def test_shap_values_add_up_and_name_the_dimension():
    vectors, values = property_table()
    shap = shap_values(QUICK, vectors, values, seeds=[3])
    model = QUICK.fit(vectors, values, seed=3)
    predicted = model.predict(vectors)
    rest = predicted - shap.sum(axis=1)
    np.testing.assert_allclose(rest, rest[0], rtol=1e-6)
    importance = np.abs(shap).mean(axis=0)
    assert importance.argmax() == 3
    assert importance[3] > 5 * importance[:3].max()
    averaged = shap_values(QUICK, vectors, values, seeds=[3, 4])
    other = shap_values(QUICK, vectors, values, seeds=[4])
    np.testing.assert_allclose(averaged, (shap + other) / 2)
