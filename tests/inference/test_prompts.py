"""Prompts: files, lists in code, and how they become token ids."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gpt_dist.datasets.faults import find_faults
from pytest_gpt_dist.errors import UsageError
from pytest_gpt_dist.inference import prompts
from pytest_gpt_dist.inference.prompts import (
    Prompt,
    encode,
    fit,
    given_prompts,
    read_prompts,
    shipped_prompts,
    tokenize_bytes,
)

IDS = st.lists(st.integers(0, 50), min_size=1)


def write(folder: Path, *lines: str) -> Path:
    file = folder / "mine.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def test_a_file_holds_texts_and_token_ids_with_lengths_of_their_own(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '{"prompt": "Hello"}',
        "",
        '{"input_ids": [1, 2], "max_length": 5}',
        '{"prompt": "é"}\r',
        "  ",
    )
    assert read_prompts(file) == (
        Prompt(f"{file}:1", text="Hello"),
        Prompt(f"{file}:3", token_ids=(1, 2), new_tokens=5),
        Prompt(f"{file}:4", text="é"),
    )


@settings(deadline=None)
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1))
def test_any_text_survives_the_file(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    file = write(
        tmp_path_factory.mktemp("prompts"),
        *(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts),
    )
    assert [prompt.text for prompt in read_prompts(file)] == texts


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Hello", "not JSON (Expecting value at column 1)"),
        ('{"prompt": "Hello"', "not JSON (Expecting ',' delimiter at column 19)"),
        ('["Hello"]', "a JSON array; give one object a line, without brackets and commas around them"),
        (
            ' [ {"prompt": "Hello"},',
            "a JSON array; give one object a line, without brackets and commas around them",
        ),
        ("3", "expected a JSON object with prompt or input_ids"),
        ("{}", "expected prompt or input_ids, found no key"),
        ('{"text": "Hello"}', "expected prompt or input_ids, found 'text'"),
        ('{"a": 1, "b": 2, "c": 3, "d": 4}', "expected prompt or input_ids, found 'a', 'b', 'c', and 1 more"),
        ('{"prompt": "Hello", "input_ids": [1]}', "prompt and input_ids in one object; give one of them"),
        ('{"prompt": "a", "prompt": "b"}', "not JSON that can be read (key 'prompt' is there twice)"),
        ('{"prompt": "a", "x": {"y": 1, "y": 1}}', "not JSON that can be read (key 'y' is there twice)"),
        ('{"prompt": "a", "x": NaN}', "not JSON that can be read (NaN is no number of JSON)"),
        ('{"prompt": "a", "x": [-Infinity]}', "not JSON that can be read (-Infinity is no number of JSON)"),
        ('{"prompt": 3}', "prompt is a text, got int"),
        ('{"prompt": null}', "prompt is a text, got NoneType"),
        ('{"prompt": ""}', "prompt is empty"),
        ('{"prompt": " \\t\\u00a0"}', "prompt is blank"),
        ('{"prompt\\udc00": "x"}', r"unknown key 'prompt\udc00'; did you mean prompt?"),
        ('{"prompt\\u001b": "x"}', r"unknown key 'prompt\x1b'; did you mean prompt?"),
        ('{"input_ids": []}', "the list of token ids is empty"),
        ('{"input_ids": "1 2"}', "expected a list of token ids, got str"),
        ('{"input_ids": {"1": 2}}', "expected a list of token ids, got dict"),
        ('{"input_ids": [1, -2]}', "token ids are whole numbers of at least 0, got -2"),
        ('{"input_ids": [1.0]}', "token ids are whole numbers of at least 0, got 1.0"),
        ('{"input_ids": [true]}', "token ids are whole numbers of at least 0, got True"),
        ('{"prompt": "Hello", "max_length": 0}', "max_length is a whole number from 1 to 1,000,000, got 0"),
        (
            '{"prompt": "Hello", "max_length": 1000001}',
            "max_length is a whole number from 1 to 1,000,000, got 1000001",
        ),
        (
            '{"prompt": "Hello", "max_length": "9"}',
            "max_length is a whole number from 1 to 1,000,000, got '9'",
        ),
        (
            '{"prompt": "Hello", "max_length": true}',
            "max_length is a whole number from 1 to 1,000,000, got True",
        ),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(tmp_path: Path, line: str, said: str) -> None:
    file = write(tmp_path, '{"prompt": "Hello"}', "", line)
    with pytest.raises(UsageError) as caught:
        read_prompts(file)
    assert str(caught.value) == f"{file}:3: {said}"


def test_an_empty_file_has_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mine\.jsonl: no prompts in it"):
        read_prompts(write(tmp_path, "", "  "))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cannot read prompts from .*none\.jsonl: No such file or directory"
    ):
        read_prompts(tmp_path / "none.jsonl")


@pytest.mark.parametrize("path", [".", "/dev/zero"])
def test_what_is_no_regular_file_is_not_read(path: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot read prompts from {path}: it is not a regular file"):
        read_prompts(Path(path))


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "latin.jsonl"
    file.write_bytes(b'{"prompt": "fine"}\n' + '{"prompt": "é"}'.encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.jsonl:2: not UTF-8 text \(byte 0xe9 at column 13\)$"):
        read_prompts(file)


def test_a_byte_order_mark_is_no_part_of_the_first_prompt(tmp_path: Path) -> None:
    file = tmp_path / "marked.jsonl"
    file.write_text('{"prompt": "Hello"}', encoding="utf-8-sig")
    assert read_prompts(file) == (Prompt(f"{file}:1", text="Hello"),)


def test_a_name_that_no_file_can_have_is_said() -> None:
    with pytest.raises(UsageError, match=r"cannot read prompts from a\\x00b: embedded null byte"):
        read_prompts(Path("a\0b"))


def test_a_faults_place_is_the_file_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "one.jsonl").write_text("{}")
    with pytest.raises(UsageError, match=r"^sets/one\.jsonl:1: "):
        read_prompts(Path("sets/one.jsonl"))


def test_twenty_texts_ship_with_the_package() -> None:
    texts = [prompt.text for prompt in shipped_prompts()]
    assert len(texts) == len(set(texts)) == 20
    assert all(texts)


def test_prompts_in_code_are_texts_or_token_ids() -> None:
    assert given_prompts(["Hello", [1, 2], (3,)]) == (
        Prompt("prompts[0]", text="Hello"),
        Prompt("prompts[1]", token_ids=(1, 2)),
        Prompt("prompts[2]", token_ids=(3,)),
    )


@pytest.mark.parametrize("prompts", ["Hello", b"Hello", [], (), 3, {"Hello"}])
def test_prompts_in_code_are_a_list(prompts: Any) -> None:
    with pytest.raises(UsageError, match="prompts: expected a list of texts or of lists of token ids"):
        given_prompts(prompts)


@pytest.mark.parametrize("prompt", ["", " ", [], 3, [0.5], [-1], [True], b"ab", None])
def test_a_wrong_prompt_in_code_is_named_by_its_place(prompt: Any) -> None:
    with pytest.raises(UsageError, match=r"^prompts\[1\]: "):
        given_prompts(["Hello", prompt])


def test_texts_are_tokenized_in_one_call_and_put_back_in_their_places() -> None:
    calls = []

    def tokenize(texts: Any) -> list[list[int]]:
        calls.append(list(texts))
        return [[len(text)] for text in texts]

    assert encode(given_prompts(["a", [7, 8], "ccc"]), tokenize, 9) == [(1,), (7, 8), (3,)]
    assert calls == [["a", "ccc"]]


def test_token_ids_alone_ask_no_tokenizer() -> None:
    assert encode(given_prompts([[1], [2]]), _no_tokenizer, 3) == [(1,), (2,)]


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^prompts\[1\]: token id 9 is outside the model's vocabulary of 9$"
    ):
        encode(given_prompts([[8], [1, 9]]), _no_tokenizer, 9)


def test_a_text_without_tokens_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^prompts\[0\]: the tokenizer makes no token of this prompt$"):
        encode(given_prompts(["\u200b"]), lambda texts: [[] for _ in texts], 9)


@settings(deadline=None)
@given(text=st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_bytes_are_the_text_in_utf8(text: str) -> None:
    (ids,) = tokenize_bytes([text])
    assert bytes(ids).decode() == text


@settings(deadline=None)
@given(ids=IDS, length=st.integers(1, 200))
def test_a_prompt_is_cut_or_repeated_to_a_length(ids: list[int], length: int) -> None:
    fitted = fit(ids, length)
    assert len(fitted) == length
    assert all(token == ids[place % len(ids)] for place, token in enumerate(fitted))


@settings(deadline=None)
@given(ids=IDS)
def test_without_a_length_a_prompt_stays_as_it_is(ids: list[int]) -> None:
    assert fit(ids, None) == tuple(ids)


def _no_tokenizer(texts: Any) -> list[list[int]]:
    raise AssertionError("no text to tokenize")


def test_a_key_that_is_nearly_one_of_ours_is_named(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a", "id": 3}\n{"prompt": "a", "maxlength": 3}\n')
    with pytest.raises(
        UsageError, match=r"prompts.jsonl:2: unknown key 'maxlength'; did you mean max_length\?$"
    ):
        read_prompts(file)


@pytest.mark.parametrize(
    "line", ['{"a": ' + "[" * 200_000, '{"prompt": "a", "max_length": ' + "9" * 5000 + "}"]
)
def test_what_json_gives_up_on_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(line)
    with pytest.raises(UsageError, match=r"prompts.jsonl:1: not JSON that can be read"):
        read_prompts(file)


def test_half_a_surrogate_pair_is_no_character(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "\\ud800"}')
    with pytest.raises(UsageError, match=r"prompts.jsonl:1: prompt holds half of a surrogate pair"):
        read_prompts(file)


@pytest.mark.parametrize(
    "key",
    [
        "max_new_tokens",
        "max_tokens",
        "output_tokens",
        "output_length",
        "maxNewTokens",
        "max-tokens",
        "new_tokens",
    ],
)
def test_what_others_call_the_number_of_new_tokens_is_not_ignored(tmp_path: Path, key: str) -> None:
    file = write(
        tmp_path, '{"prompt": "a", "id": 3, "category": "b", "tokens": 7}', f'{{"prompt": "a", "{key}": 3}}'
    )
    with pytest.raises(UsageError) as caught:
        read_prompts(file)
    assert str(caught.value) == f"{file}:2: unknown key '{key}'; did you mean max_length?"


def test_a_line_without_end_takes_little_memory_and_hides_no_later_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "LONGEST_LINE", 1000)
    lines = ['{"prompt": "a"}', "x" * 4004, " " * 3003, '{"prompt": "%s"}' % ("b" * 986), "y" * 10**6, "{}"]
    file = write(tmp_path, *lines)
    tracemalloc.start()
    count, faults = find_faults(file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    long = "longer than 1,000 characters, the most that a line may have"
    empty = "expected prompt or input_ids, found no key"
    assert count == 2
    assert faults == [f"{file}:2: {long}", f"{file}:3: {long}", f"{file}:5: {long}", f"{file}:6: {empty}"]
    assert peak < 10**5
    with pytest.raises(UsageError, match=f":2: {long}$"):
        read_prompts(file)
