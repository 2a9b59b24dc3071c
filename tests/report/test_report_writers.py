"""The written reports: what stands in each, and that no text gets out of its place."""

import csv
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pytest_gpt_dist.report.bars import HUES
from pytest_gpt_dist.report.charts.canvas import DARK, LIGHT
from pytest_gpt_dist.report.charts.charts import charts
from pytest_gpt_dist.report.findings import Findings, find
from pytest_gpt_dist.report.markdown import markdown_report
from pytest_gpt_dist.report.page import Picture, Swatch, Undrawn, page
from pytest_gpt_dist.report.sections import Document, compose
from pytest_gpt_dist.report.spreadsheet import summary_csv
from pytest_gpt_dist.report.text import text_report
from pytest_gpt_dist.results.text import escape_line
from saved_cases import ALONE, MADE_AT, lost, saved_case

HOSTILE = (
    "<script>alert(1)</script>",
    "a|b\n| c |",
    "=HYPERLINK(1)",
    "[x](javascript:alert(1))",
    "`code` **bold** https://evil.example/ &lt; \x1b[31m \u202e",
    "# head",
    "1. one",
    "- item",
    "{{ 7 * 7 }}",
    "\\|",
    "$x^2$",
)
VOID = {"meta", "link", "br", "hr", "img", "source", "input"}
SWATCH = Swatch("a series", "what it is", b"light", b"dark")
PICTURE = Picture("A title", ("a caption",), b"light", b"dark")
GITHUB = MarkdownIt("commonmark").enable("table")


class Reading(HTMLParser):
    """A page as a browser sees it: its elements, its text, and tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.unmatched: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unmatched += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unmatched.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def addresses(self) -> list[str]:
        return [
            value or ""
            for _, attributes in self.elements
            for name, value in attributes.items()
            if name in ("src", "srcset", "href", "action", "style") or name.startswith("on")
        ]


def findings() -> Findings:
    """Two groups, with verdicts, alerts, gaps and a note."""
    verdict = {
        "case": "", "kind": "improved", "metric": "seconds_per_token", "effect": -0.1, "interval": [-0.2, -0.05],
        "why": "beyond noise", "before_s": 0.01, "after_s": 0.009, "detectable": 0.03, "mode": "stored", "used": 4,
    }  # fmt: skip
    cases = [
        saved_case(verdicts=(verdict,), telemetry={"alerts": ["very hot"]}),
        saved_case(2, speed=170.0, time_lost=lost(0.12, 0.25, -1e-18, -0.22)),
        saved_case(4, speed=200.0, efficiency=None, oversubscribed=True),
        saved_case(
            model="other", saved_at="2026-10-01", source="older.json", itl_s=None, tpot_s=None, **ALONE
        ),
    ]
    return find(cases, ["a note"])


def hostile(text: str) -> Findings:
    """A case each of whose texts is this one."""
    return find(
        [
            saved_case(
                test=f"b.py::test[{text}]",
                source=text,
                strategy=text,
                engine=text,
                model=text,
                device_name=text,
                marks=[text],
                saved_at=f"2026-11-02 {text}",
                telemetry={"alerts": [text], "gpus": [{"throttling": {text: 0.5}}]},
                against={"name": text, "alerts": [{text: text}]},
                revision=text,
                verdicts=({"kind": text, "effect": None, "interval": None, "why": text, "mode": "paired"},),
                fingerprint={"torch": text},
            ),
            saved_case(2, test=text, time_lost=lost(0.3), efficiency=None),
        ],
        [text],
    )


def document(found: Findings) -> Document:
    return compose(found, MADE_AT)


def html(found: Findings) -> Reading:
    return Reading(page(document(found), [[PICTURE]] * len(found.groups)))


def markdown(found: Findings) -> str:
    return markdown_report(document(found), [charts(group) for group in found.groups])


def rows(found: Findings) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(summary_csv(found))))


def test_the_csv_has_every_figure_unrounded_and_where_it_is_saved() -> None:
    first, second, third, fourth = rows(findings())
    assert (first["file"], first["test"]) == (
        "saved.json",
        "bench.py::test_generate[1gpu-pure_data_parallel]",
    )
    assert [float(row["tokens_per_s"]) for row in (first, second, third)] == [100, 170, 200]
    assert float(first["latency_p95_s"]) == 0.45
    assert second["peak_memory_bytes_by_rank"] == "104857600 104857600"
    assert (fourth["group"], fourth["file"]) == ("2", "older.json")


def test_what_is_missing_is_an_empty_cell_with_its_reason_and_never_a_zero() -> None:
    _, _, third, fourth = rows(findings())
    assert third["efficiency"] == ""
    assert "efficiency: oversubscribed: ranks share cores" in third["missing"]
    assert fourth["itl_mean_s"] == fourth["speedup"] == fourth["reference"] == ""
    assert "itl_s: only one token" in fourth["missing"]


def test_the_csv_has_the_losses_and_leaves_those_empty_that_are_not_known() -> None:
    first, second, third, _ = rows(findings())
    kinds = ("communication", "bubble", "imbalance", "host", "other")
    assert [second[f"time_lost_{kind}"] for kind in kinds] == ["0.12", "0.25", "-1e-18", "", "-0.22"]
    assert {row[f"time_lost_{kind}"] for row in (first, third) for kind in kinds} == {""}
    assert "time_lost: not measured; time_lost_other: not measured" in third["missing"]


def test_the_csv_has_the_workload_in_columns_of_its_own() -> None:
    (row,) = rows(
        find([saved_case(dtype="bfloat16", scaling="strong", prompt_tokens=[8, 32, 16], new_tokens=4)])
    )
    assert [row[name] for name in ("model", "weights", "dtype", "scaling", "batch_size", "requests")] == [
        "gpt2-mini", "random", "bfloat16", "strong", "4", "4",
    ]  # fmt: skip
    assert [row[f"{end}_prompt_tokens"] for end in ("shortest", "longest")] == ["8", "32"]
    assert [row[f"{end}_new_tokens"] for end in ("shortest", "longest")] == ["4", "4"]


def test_the_csv_has_verdicts_with_their_figures() -> None:
    first, second, *_ = rows(findings())
    told = [
        first[f"seconds_per_token_{name}"] for name in ("verdict", "before_s", "after_s", "effect", "used")
    ]
    assert told == ["improved", "0.01", "0.009", "-0.1", "4"]
    assert (first["seconds_per_token_interval_low"], first["seconds_per_token_detectable"]) == (
        "-0.2",
        "0.03",
    )
    assert first["ttft_s_verdict"] == second["seconds_per_token_verdict"] == ""


def test_the_csv_has_what_the_machine_did_and_the_revision() -> None:
    telemetry = {
        "ranks": [{"cpu": {"mean": 0.75, "max": 1.0}}],
        "host": {"memory": {"mean": 0.25, "max": 0.5}},
    }
    (row,) = rows(find([saved_case(telemetry=telemetry, revision="a1", matches_reference=None)]))
    assert (row["rank_cores"], row["host_memory"], row["revision"]) == ("0.75", "0.5", "a1")
    assert row["gpu_power_w"] == row["matches_reference"] == ""
    assert "gpu_power_w: no GPU" in row["missing"]


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "＝"])
def test_no_cell_of_the_csv_is_a_formula(mark: str) -> None:
    found = rows(hostile(f"{mark}1+cmd|'/C calc'!A0"))
    assert len([value for row in found for value in row.values() if "calc" in value]) > 2
    for row in found:
        for value in filter(None, row.values()):
            assert value[0] not in "=+-@＝＋－＠", value


def test_no_cell_is_a_formula_where_semicolons_separate() -> None:
    text = summary_csv(hostile('a;=1;"=2;" -3;+4'))
    assert "=1" in text
    for row in csv.reader(StringIO(text), delimiter=";"):
        for value in row:
            assert not value.lstrip().startswith(("=", "+", "-", "@")), value


def test_every_text_of_the_csv_is_quoted() -> None:
    header, first, *_ = summary_csv(findings()).splitlines()
    assert header.startswith('"group","workload"')
    assert first.startswith('1,"gpt2-mini ')


@pytest.mark.parametrize("text", HOSTILE)
def test_the_csv_keeps_its_shape(text: str) -> None:
    found = rows(hostile(text))
    assert len(found) == 2
    for row in found:
        assert list(row) == list(rows(findings())[0])
        assert all("\n" not in value for value in row.values())


def test_the_text_has_the_answer_before_the_tables() -> None:
    text = text_report(document(findings()))
    assert (
        text.index("No answer: what looks fastest shares its cores")
        < text.index("Figures.")
        < text.index("Sources.")
    )
    assert "Group 1 of 2: gpt2-mini" in text
    assert "Group 2 of 2: other" in text
    assert "no efficiency of 4gpu: oversubscribed: ranks share cores" in text
    assert "older.json" in text
    assert "very hot" in text
    assert "Notes\n  a note\n" in text


def test_several_groups_are_told_at_a_glance_and_what_they_differ_in() -> None:
    glance = "No answer: what looks fastest shares its cores; verdicts: 1 improved"
    found = findings()
    for written in (text_report(document(found)), Reading(GITHUB.render(markdown(found))).text):
        assert written.index(glance) < written.index("Most tokens in total")


def test_groups_of_one_heading_are_told_apart_below_it() -> None:
    found = find([saved_case(), saved_case(fingerprint={"torch": "1"}, saved_at="2026-10-01")])
    for written in (
        text_report(document(found)),
        Reading(GITHUB.render(markdown(found))).text,
        html(found).text,
    ):
        assert "Differs from group 1 in torch 1 (not 2.13.0)." in written
        assert "verdicts: none; differs from group 1 in torch 1 (not 2.13.0)" in written


def test_a_chart_that_is_not_drawn_has_a_line_in_the_markdown() -> None:
    shown = Reading(GITHUB.render(markdown(find([saved_case()]))))
    assert "Parallel efficiency: not drawn (no case on several devices)" in shown.text
    assert "parallel_efficiency.png" not in shown.addresses


def test_the_tables_of_losses_have_the_cases_on_several_devices_and_no_zero_that_was_not_measured() -> None:
    text = text_report(document(findings()))
    table = text[text.index("Losses.") :].split("\n\n")[0].splitlines()
    columns = ["case", "efficiency", "communication", "bubble", "imbalance", "other", "beyond", "100%"]
    assert table[1].split() == columns
    assert [line.split()[:6] for line in table[3:]] == [
        ["2gpu", "85%", "12%", "25%", "0%", "-22%"],
        ["4gpu", "-", "-", "-", "-", "-"],
    ]
    assert table[3].endswith("122% without other: a share is done faster than on one device")
    assert text.count("Losses.") == 1
    for written in (text, Reading(GITHUB.render(markdown(findings()))).text, html(findings()).text):
        assert "2gpu loses 25% of its time to bubble" in written
        assert "no losses of 4gpu: not measured" in written


def test_the_losses_of_the_page_have_their_reason_in_the_cell() -> None:
    table = html(findings()).text.partition("Losses")[2].partition("Latencies")[0]
    assert table.count("-not measured") == 4


@pytest.mark.parametrize("text", HOSTILE)
def test_the_text_sends_nothing_to_a_terminal_but_text(text: str) -> None:
    assert all(line.isprintable() for line in text_report(document(hostile(text))).split("\n"))


def test_the_markdown_shows_charts_tables_and_what_is_missing() -> None:
    text = markdown(findings())
    shown = Reading(GITHUB.render(text))
    images = [attributes["src"] for tag, attributes in shown.elements if tag == "img"]
    assert images[0] == "throughput_comparison.png"
    assert images[8] == "throughput_comparison_2.png"
    assert "lost_efficiency.png" in images
    assert [tag for tag, _ in shown.elements].count("table") == 10
    assert "no efficiency of 4gpu" in shown.text
    assert text.index("### Further findings") < text.index("### Charts") < text.index("## Glossary")


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_takes_no_text_for_markup(text: str) -> None:
    plain, shown = (Reading(GITHUB.render(markdown(hostile(each)))) for each in ("plain", text))
    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in plain.elements]
    assert shown.addresses == plain.addresses


def test_a_bar_does_not_end_a_cell_of_markdown() -> None:
    plain, shown = (Reading(GITHUB.render(markdown(hostile(each)))).text for each in ("plain", "a|b"))
    assert shown.count("a|b") == plain.count("plain")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    shown = Reading(GITHUB.render(f"- {escape_line(text)}"))
    assert [tag for tag, _ in shown.elements] == ["ul", "li"]
    assert " ".join(shown.text.split()) == " ".join(text.split())


def test_the_page_is_well_formed_and_needs_nothing_besides_itself() -> None:
    shown = html(findings())
    assert shown.unmatched == []
    assert not {"link", "iframe", "object"} & {tag for tag, _ in shown.elements}
    assert [attributes for tag, attributes in shown.elements if tag == "script"] == [{}]
    assert all(
        address.startswith(("data:image/png;base64,", "#group-", "#legend")) for address in shown.addresses
    )
    text = page(document(findings()), [[PICTURE]] * 2, [SWATCH])
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_no_script_of_the_page_runs_but_its_own() -> None:
    text = page(document(findings()), [[PICTURE]] * 2)
    script = text.partition("<script>")[2].partition("</script>")[0]
    assert "addEventListener" in script
    policy = next(attributes for tag, attributes in html(findings()).elements if "http-equiv" in attributes)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert (policy["content"] or "").endswith(f"script-src 'sha256-{digest}'")


def test_the_page_has_one_legend_and_every_group_leads_to_it() -> None:
    shown = Reading(page(document(findings()), [[PICTURE]] * 2, [SWATCH]))
    assert shown.text.count("Legend of all pictures") == 1
    assert shown.text.count("a series: what it is") == 1
    assert "#legend" in shown.addresses


def test_the_colours_of_the_chart_are_those_of_the_pictures() -> None:
    text = page(document(findings()), [[PICTURE]] * 2)
    for theme in (LIGHT, DARK):
        for place in range(HUES):
            assert f".hue{place} {{ fill: {theme.series(place)}; }}" in text


def test_a_caveat_opens_without_a_script() -> None:
    text = page(document(findings()), [[PICTURE]] * 2)
    assert '<details class="badge plain"><summary>one launch each</summary><p>Each case' in text


def test_the_page_opens_with_the_answer() -> None:
    text = html(findings()).text
    order = [
        "No answer: what looks fastest shares its cores",
        "1 oversubscribed",
        "Speed-up",
        "Tokens/s by device count",
        "Most tokens in total",
        "Further findings",
        "Charts",
        "Figures",
        "What is missing",
        "Glossary",
        "inter-token",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_a_missing_figure_of_the_page_has_its_reason_in_the_cell() -> None:
    assert "-oversubscribed: ranks share cores" in html(findings()).text


def test_the_page_has_dark_pictures_for_dark_screens_and_bright_ones_on_paper() -> None:
    images = [attributes for tag, attributes in html(findings()).elements if tag == "img"]
    assert images[:2] == [
        {"class": "on-light", "src": PICTURE.light, "alt": "A title"},
        {"class": "on-dark", "src": PICTURE.dark, "alt": "A title"},
    ]
    style = page(document(findings()), [[PICTURE]] * 2).partition("</style>")[0]
    dark = "(prefers-color-scheme: dark) {\n  .on-dark { display: block; }\n  .on-light { display: none; }"
    assert f"@media screen and {dark}" in style
    assert style.index(".on-dark { display: none; }") < style.index(dark)


def test_what_stands_below_a_picture_is_text_and_what_is_not_drawn_says_why() -> None:
    found = findings()
    shown = Reading(page(document(found), [[PICTURE, Undrawn("Losses", "no <GPU>")]] * len(found.groups)))
    assert "\na caption\n" in shown.text
    assert "Losses: not drawn (no <GPU>)." in shown.text


def test_each_link_to_a_group_says_what_it_found() -> None:
    links = html(findings()).text.partition("2 groups")[2].partition("Most tokens in total")[0]
    assert links.count("; verdicts: ") == 2
    assert "verdicts: 1 improved" in links


def test_the_cases_of_a_table_stay_in_sight_and_name_their_rows() -> None:
    text = page(document(findings()), [[PICTURE]] * 2)
    assert '<th scope="row">2gpu</th>' in text
    assert ".scroll td:first-child { position: sticky;" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_takes_no_text_for_markup(text: str) -> None:
    plain, shown = html(hostile("plain")), html(hostile(text))
    assert [tag for tag, _ in shown.elements] == [tag for tag, _ in plain.elements]
    assert shown.addresses == plain.addresses
    assert shown.unmatched == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "{{ 7 * 7 }}", "a & b"])
def test_the_page_shows_hostile_texts_as_they_are(text: str) -> None:
    assert html(hostile(text)).text.count(text) > 5
