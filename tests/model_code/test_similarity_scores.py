"""Similarity of Korean sentences: what must always hold, and how well it does on rated pairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from statistics import mean
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

MODEL = "similarity"
PAIRS = Path(__file__).parent / "data" / "korean_sentence_pairs.tsv"
FOLDER = Path(__file__).resolve().parents[2] / "model_code" / "similarity"
SHARED = FOLDER.parent / "shared"

WORDS = (
    "나는 너를 안 못 영화가 영화를 재미있다 재미없다 좋지 않다 세 네 개 3 5시 학교에 갔다 크다 작은 ㅋㅋ ! ?"
)
korean = st.sampled_from(WORDS.split())
sentences = st.lists(korean | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1).map(
    " ".join
)


@pytest.fixture(scope="module")
def held_out(code: SimpleNamespace) -> list[Any]:
    return [pair for pair in code.train.read_pairs(PAIRS) if pair.split == "held-out"]


@given(one=sentences, other=sentences)
def test_a_score_is_symmetric_and_from_0_to_5(model: Any, one: str, other: str) -> None:
    # GIVEN any two sentences WHEN they are compared both ways THEN the score is the same, from 0 to 5
    score = model.score(one, other)
    assert score == model.score(other, one)
    assert 0 <= score <= 5


@given(sentence=sentences)
def test_a_sentence_is_like_itself(model: Any, sentence: str) -> None:
    assert model.score(sentence, sentence) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World", "hello,  world"),
        ("이 영화 정말 재미있어요", "이 영화 정말 재미있습니다."),
        ("이영화정말재미있어요", "이 영화 정말 재미있어요"),
        ("회의는 세 시에 시작한다", "회의는 3시에 시작합니다"),
    ],
)
def test_spelling_spacing_and_courtesy_do_not_matter(model: Any, one: str, other: str) -> None:
    assert model.score(one, other) > 4.4


@pytest.mark.parametrize(
    ("sentence", "denied"),
    [
        ("커피를 마신다", "커피를 안 마신다"),
        ("커피를 마신다", "커피를 마시지 않는다"),
        ("커피를 마셔요", "커피를 못 마셔요"),
        ("이것은 커피다", "이것은 커피가 아니다"),
        ("시간이 있다", "시간이 없다"),
        ("맛이 좋다", "맛이 나쁘다"),
        ("서비스가 친절하다", "서비스가 불친절하다"),
        ("사과 세 개를 샀다", "사과 다섯 개를 샀다"),
        ("월요일에 만나요", "금요일에 만나요"),
        ("개가 고양이를 쫓는다", "고양이가 개를 쫓는다"),
        ("한국이 일본을 이겼다", "일본이 한국을 이겼다"),
    ],
)
def test_what_is_denied_is_no_longer_alike(model: Any, sentence: str, denied: str) -> None:
    # GIVEN a sentence and one that contradicts it in nearly the same words
    # WHEN they are compared THEN they are related, and far from equal
    assert 0.5 < model.score(sentence, denied) < 2.5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("맛이 나쁘다", "맛이 좋지 않다"),
        ("이 책은 어렵다", "이 책은 쉽지 않다"),
        ("안 좋아요", "좋지 않아요"),
    ],
)
def test_a_denied_opposite_says_the_same(model: Any, one: str, other: str) -> None:
    assert model.score(one, other) > 3.5


def test_asking_is_not_saying(model: Any) -> None:
    assert 3 < model.score("밥 먹었어?", "밥 먹었어.") < 4.5


def test_held_out_pairs_come_out_in_the_order_of_their_ratings(
    code: SimpleNamespace, model: Any, held_out: list[Any]
) -> None:
    # GIVEN pairs that set neither scale nor weights, at least 60
    assert len(held_out) >= 60
    # WHEN they are scored THEN scores follow the ratings
    spearman, pearson = code.train.correlations(model, held_out)
    assert spearman > 0.9
    assert pearson > 0.9


def test_pairs_written_after_the_model_come_out_in_order_too(code: SimpleNamespace, model: Any) -> None:
    # GIVEN pairs that nobody could write the thesaurus for WHEN they are scored
    later = [pair for pair in code.train.read_pairs(PAIRS) if pair.split == "later"]
    spearman, pearson = code.train.correlations(model, later)
    # THEN scores follow the ratings still; MODEL_CARD.md says where they do not
    assert len(later) >= 30
    assert spearman > 0.75
    assert pearson > 0.7


def test_groups_of_held_out_pairs_are_apart(model: Any, held_out: list[Any]) -> None:
    scores: dict[str, list[float]] = {}
    for pair in held_out:
        scores.setdefault(pair.group, []).append(model.score(pair.sentence1, pair.sentence2))
    middle = {group: mean(found) for group, found in scores.items()}
    assert middle["same"] > middle["paraphrase"] + 0.5
    assert middle["paraphrase"] > middle["related"] + 1
    assert middle["paraphrase"] > middle["negated"] + 1
    assert min(middle["related"], middle["negated"]) > middle["unrelated"] + 0.5
    # every pair of the same meaning above every unrelated one
    assert min(scores["same"]) > max(scores["unrelated"])


def test_the_committed_script_makes_the_committed_model(
    code: SimpleNamespace, nsmc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--train", str(nsmc), "--pairs", str(PAIRS), "--model-dir", str(tmp_path)]
    assert code.train.main(arguments) == 0
    assert (tmp_path / "model.npz").read_bytes() == (FOLDER / "model.npz").read_bytes()
    assert "held-out:spearman=0.9" in capsys.readouterr().out


def test_the_scale_never_falls_and_comes_close_to_the_ratings(code: SimpleNamespace) -> None:
    # GIVEN ratings that rise with agreement, but for one
    agreements = [0.1, 0.3, 0.4, 0.6, 0.7, 0.9]
    ratings = [0.5, 2.0, 1.0, 3.0, 4.0, 4.5]
    # WHEN the scale is fitted
    heights = code.train.fit_scale(agreements, ratings)
    # THEN it rises from 0 to 5 and is closer than a straight line
    assert heights == sorted(heights)
    assert (heights[0], heights[-1]) == (0, 5)

    def error(scale: list[float]) -> float:
        scored = np.interp(agreements, code.scorer.KNOTS, scale)
        return float(np.sum((scored - ratings) ** 2))

    assert error(heights) < error([5 * knot for knot in code.scorer.KNOTS])


@pytest.mark.parametrize(
    ("reviews", "pairs", "said"),
    [
        (None, "s\tg\t1\ta\tb", "ratings_train.txt"),
        ("1\t좋다", "fit\tsame\t5\ta\tb", "2 tab-separated fields, 3 expected"),
        ("1\t좋다\t1", "fit\tsame\t7\ta\tb", "'7' is not a number from 0 to 5"),
        ("1\t좋다\t1", "held-out\tsame\t5\ta\tb", 'no pair of split "fit"'),
        ("1\t좋다\t1", "", "no rows"),
    ],
)
def test_bad_data_is_named(
    code: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    reviews: str | None,
    pairs: str,
    said: str,
) -> None:
    # GIVEN data that cannot be used
    if reviews is not None:
        (tmp_path / "ratings_train.txt").write_text(f"id\tdocument\tlabel\n{reviews}\n", encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text(f"split\tgroup\tgold\tone\tother\n{pairs}\n", encoding="utf-8")
    out = tmp_path / "out"
    # WHEN the script runs THEN it says what is wrong, and writes nothing
    arguments = ["--train", tmp_path, "--pairs", tmp_path / "pairs.tsv", "--model-dir", out]
    assert code.train.main([str(argument) for argument in arguments]) == 1
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_missing_or_foreign_model_is_named(code: SimpleNamespace, model: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.npz is missing"):
        code.inference.model_fn(str(tmp_path))
    good = dict(np.load(FOLDER / "model.npz"))
    np.savez(tmp_path / "model.npz", **(good | {"rules": "others"}))
    with pytest.raises(ValueError, match="was made for rules others"):
        code.inference.model_fn(str(tmp_path))
    np.savez(tmp_path / "model.npz", **(good | {"heights": good["heights"][::-1]}))
    with pytest.raises(ValueError, match="scale"):
        code.inference.model_fn(str(tmp_path))


def test_a_bad_thesaurus_is_named(code: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "thesaurus.txt").write_text("= 차 자동차\n차, 자동차\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"thesaurus\.txt:2: begin with"):
        code.thesaurus.Thesaurus.load(tmp_path)


@pytest.mark.parametrize("name", ["similarity", "summarization"])
def test_numpy_and_the_standard_library_are_enough(name: str) -> None:
    # GIVEN an interpreter that can import nothing else
    folder = FOLDER.parent / name
    own = {path.stem for place in (folder, SHARED) for path in place.glob("*.py")}
    program = f"""
import sys
class OnlyNumpy:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in sys.stdlib_module_names | {{"numpy"}} | {own!r}:
            raise ImportError(name)
sys.meta_path.insert(0, OnlyNumpy())
sys.path[:0] = [{str(folder)!r}, {str(SHARED)!r}]
import inference
model = inference.model_fn({str(folder)!r})
pairs, text = '{{"pairs": [["비가 와요", "비가 옵니다"]]}}', '{{"text": "비가 와요."}}'
request = pairs if {name == "similarity"} else text
print(inference.output_fn(inference.predict_fn(inference.input_fn(request, None), model), None)[0])
"""
    # WHEN the model is loaded and asked THEN it answers
    command = [sys.executable, "-B", "-X", "utf8", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert "5.0" in done.stdout or "비가 와요." in done.stdout


def test_it_is_small_and_says_two_decimals(inference: ModuleType, model: Any) -> None:
    assert (FOLDER / "model.npz").stat().st_size < 150_000
    (answer,) = inference.predict_fn([("눈이 온다", "비가 온다")], model)
    assert answer == {"score": round(answer["score"], 2)}
