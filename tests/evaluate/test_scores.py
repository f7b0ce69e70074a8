"""What is kept of an image's logits, against scipy; ties, padding and nonsense; and the mean of two views."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from tinydarknet.evaluate.passes import mean_prediction
from tinydarknet.evaluate.scores import SCORE, TOP_K, score_batch
from tinydarknet.feed.order import PADDING, PADDING_LABEL

LOGITS = np.array([[0.1, 0.9, 0.5], [2.0, 2.0, 1.0], [2.0, 2.0, 1.0], [0.0, 1.0, 2.0]], np.float32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4, 5, 6, 1000]), st.sampled_from([0.1, 1.0, 1e4]))
def test_scores_agree_with_the_softmax(seed, classes, spread):
    rng = np.random.default_rng(seed)
    logits = (spread * rng.standard_normal((7, classes))).astype(np.float32)
    labels = rng.integers(0, classes, 7)
    scores = score_batch(logits, labels, np.arange(7))
    assert scores.dtype == SCORE
    wanted = log_softmax(logits.astype(np.float64), axis=1)
    np.testing.assert_allclose(scores["loss"], -wanted[np.arange(7), labels], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores["probability"], np.exp(wanted.max(1)), rtol=1e-5)
    order = np.argsort(-logits, axis=1, kind="stable")
    shown = min(TOP_K, classes)
    np.testing.assert_array_equal(scores["guesses"][:, :shown], order[:, :shown])
    assert (scores["guesses"][:, shown:] == -1).all()
    np.testing.assert_array_equal(scores["place"], (order == labels[:, None]).argmax(axis=1))


def test_of_equal_logits_the_lower_class_comes_first():
    scores = score_batch(LOGITS, np.array([1, 0, 1, 2]), np.arange(4))
    assert scores["place"].tolist() == [0, 0, 1, 0]
    assert scores["guesses"][:, :3].tolist() == [[1, 2, 0], [0, 1, 2], [0, 1, 2], [2, 1, 0]]


def test_padding_is_marked_by_its_id():
    scores = score_batch(LOGITS, np.array([1, 0, 1, PADDING_LABEL]), np.array([5, 6, 7, PADDING]))
    assert scores["id"].tolist() == [5, 6, 7, PADDING]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="finite"):
        score_batch(np.array([[np.nan, 1.0]]), np.array([0]), np.array([0]))
    for label in (2, -1):
        with pytest.raises(ValueError, match=r"in \[0, 2\)"):
            score_batch(np.array([[0.0, 1.0]]), np.array([label]), np.array([0]))


def test_the_mean_of_two_views_is_the_mean_of_their_probabilities():
    one, other = 3 * np.random.default_rng(1).standard_normal((2, 6, 9)).astype(np.float32)
    found = softmax(mean_prediction(one, other), axis=1)
    np.testing.assert_allclose(found, (softmax(one, axis=1) + softmax(other, axis=1)) / 2, atol=1e-6)
    assert np.isfinite(mean_prediction(np.array([[1e4, -1e4]]), np.array([[1e4, -1e4]]))).all()
