"""Images laid out from Dockerfiles without docker: what is in them, and which are refused, and how."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.functions.dockerfile import DockerfileError, expand
from tests.sandbox_functions.function_world import BASE, Context


def files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }


def test_files_are_where_the_copy_lines_put_them(context: Context, tmp_path: Path) -> None:
    # GIVEN a context, and a Dockerfile with all forms of COPY and with variables
    context.write(
        {"app.py": "", "one.txt": "1", "two.txt": "2", "package/__init__.py": "", "package/a.py": ""}
    )
    dockerfile = """\
        # escape=\\
        ARG VERSION=3.12
        FROM public.ecr.aws/lambda/python:${VERSION}
        ARG FOLDER=data
        ENV MODEL_DIR=${LAMBDA_TASK_ROOT}/model GREETING="good day"
        ENV OLD form with spaces
        LABEL team=search
        COPY app.py ${LAMBDA_TASK_ROOT}/
        COPY package ./package
        COPY *.txt /opt/$FOLDER/
        WORKDIR /opt/work
        COPY ["one.txt", \\
              "renamed.txt"]
        CMD ["app.handler"]
        """

    # WHEN it is laid out
    layout = context.lay_out(tmp_path / "work", dockerfile, build_arguments={"FOLDER": "texts"})

    # THEN each file is in its place
    assert files(layout.root) == {
        "var/task/app.py",
        "var/task/package/__init__.py",
        "var/task/package/a.py",
        "opt/texts/one.txt",
        "opt/texts/two.txt",
        "opt/work/renamed.txt",
    }
    # AND the image starts as the Dockerfile says
    assert layout.config.base == BASE
    assert layout.config.python == "3.12"
    assert layout.config.command == ["app.handler"]
    assert layout.config.work_dir == "/opt/work"
    assert layout.config.labels == {"team": "search"}
    assert layout.config.environment["MODEL_DIR"] == "/var/task/model"
    assert layout.config.environment["GREETING"] == "good day"
    assert layout.config.environment["OLD"] == "form with spaces"


def test_packages_of_an_earlier_stage_are_those_of_this_environment(context: Context, tmp_path: Path) -> None:
    # GIVEN an image of two stages: one installs packages and tidies up, the other takes them
    context.write({"app.py": "", "requirements.txt": "numpy>=1\npip\n", "notes.md": ""})
    dockerfile = f"""\
        FROM {BASE} AS packages
        COPY requirements.txt .
        RUN python -m pip install --no-cache-dir --only-binary :all: --target /packages -r requirements.txt \\
            && find /packages -type d -name tests -prune -exec rm -r {{}} + \\
            && find /packages -name '*.pyi' -delete
        FROM python:3.12-slim AS unused
        RUN make everything
        FROM {BASE}
        COPY --from=packages /packages ${{LAMBDA_TASK_ROOT}}
        COPY --chown=1:1 *.py ${{LAMBDA_TASK_ROOT}}/
        RUN python -m compileall -q ${{LAMBDA_TASK_ROOT}}
        CMD ["app.handler"]
        """

    # WHEN it is laid out
    layout = context.lay_out(tmp_path / "work", dockerfile)

    # THEN the function's own files are there, with byte code, and nobody needed the other stage
    assert files(layout.root) == {"var/task/app.py"}
    assert list(layout.root.glob("var/task/__pycache__/app.*.pyc"))
    assert layout.notes == []


def test_a_package_in_another_version_is_told(context: Context, tmp_path: Path) -> None:
    # GIVEN requirements that this environment meets in another version
    context.write({"requirements.txt": "numpy==1.0.1\n--only-binary :all:\n# a comment\n"})

    # WHEN they are installed
    layout = context.lay_out(
        tmp_path / "work", f"FROM {BASE}\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    )

    # THEN the difference is told, with its line
    (note,) = layout.notes
    assert note.startswith("line 3: the image has numpy==1.0.1, the function runs with numpy ")


def test_a_stage_can_be_the_target_and_the_base_of_another(context: Context, tmp_path: Path) -> None:
    # GIVEN stages that build on one another
    context.write({"a.py": "", "b.py": ""})
    dockerfile = (
        f'FROM {BASE} AS base\nCOPY a.py .\nENV A=1\nFROM base AS full\nCOPY b.py .\nCMD ["b.handler"]\n'
    )

    # WHEN all of it is laid out, and a part
    full = context.lay_out(tmp_path / "full", dockerfile)
    part = context.lay_out(tmp_path / "part", dockerfile, target="base")

    # THEN the later one has what the earlier one has
    assert files(full.root) == {"var/task/a.py", "var/task/b.py"}
    assert full.config.environment["A"] == "1"
    assert files(part.root) == {"var/task/a.py"}
    assert part.config.command == []


REFUSED = {
    "other base": ("FROM ubuntu:24.04", "line 1: FROM ubuntu:24.04"),
    "not for lambda": ("FROM python:3.12-slim", "AWS's base images for Python"),
    "framework image": (
        "FROM 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6",
        "AWS's base images",
    ),
    "packages of the system": (
        f"FROM {BASE}\nRUN dnf install -y git",
        "line 2: RUN needs docker: dnf install",
    ),
    "a command": (
        f"FROM {BASE}\nRUN ./configure && make",
        "./configure would have to run; make would have to run",
    ),
    "a file made": (f"FROM {BASE}\nRUN echo 1 > /opt/one", "makes a file"),
    "a substitution": (f"FROM {BASE}\nRUN rm $(which pip)", "would have to run"),
    "an editable package": (f"FROM {BASE}\nRUN pip install -e .", "builds a package of the context"),
    "missing package": (
        f"FROM {BASE}\nRUN pip install no-such-package-x==1",
        "no-such-package-x==1 not installed",
    ),
    "missing requirements": (
        f"FROM {BASE}\nRUN pip install -r other.txt",
        "-r other.txt: there is no such file",
    ),
    "missing file": (
        f"FROM {BASE}\nCOPY nothing.py .",
        "line 2: COPY nothing.py: not found in the build context",
    ),
    "out of the context": (f"FROM {BASE}\nCOPY ../../secret .", "COPY ../../secret: not found"),
    "several into a file": (f"FROM {BASE}\nCOPY a.txt b.txt c.txt", "must end with /"),
    "a download": (f"FROM {BASE}\nADD https://example.com/model.bin /opt/", "downloads nothing"),
    "an archive": (f"FROM {BASE}\nADD data.tar.gz /opt/", "unpacks no archives"),
    "a foreign stage": (f"FROM {BASE}\nCOPY --from=nginx /etc/nginx .", "no such stage"),
    "made in a stage": (
        f"FROM {BASE} AS build\nRUN make all\nFROM {BASE}\nCOPY --from=build /out ./",
        "line 4: COPY --from=build /out: not there; made by what does not run here: line 2: RUN make all",
    ),
    "shell handler": (f"FROM {BASE}\nCMD app.handler", 'write it as a list, such as ["app.handler"]'),
    "own program": (f'FROM {BASE}\nENTRYPOINT ["/app/server"]', "leave ENTRYPOINT out"),
    "here-document": (f"FROM {BASE}\nRUN <<EOF\nmake\nEOF", "here-document"),
    "no instruction": (f"FROM {BASE}\nINSTALL numpy", "line 2: INSTALL is not an instruction"),
    "before FROM": ("COPY a b", "line 1: COPY before the first FROM"),
    "empty": ("# nothing\n", "there is no FROM"),
    "unknown target": (f"FROM {BASE}", "there is no stage prod"),
    "unclosed quote": (f"FROM {BASE}\nRUN echo 'a", "cannot be read"),
    "unclosed label": (f"FROM {BASE}\nARG A='b", "line 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_needs_docker_is_refused_with_its_line(case: str, context: Context, tmp_path: Path) -> None:
    # GIVEN a Dockerfile that cannot be laid out
    dockerfile, words = REFUSED[case]
    context.write({"a.txt": "", "b.txt": "", "data.tar.gz": ""})
    (tmp_path / "secret").write_text("of somebody else")

    # WHEN it is built
    with pytest.raises(DockerfileError) as refused:
        context.lay_out(tmp_path / "work", dockerfile, target="prod" if case == "unknown target" else None)

    # THEN the reason names the line and what is wrong
    assert words in str(refused.value)


def test_all_findings_come_at_once(context: Context, tmp_path: Path) -> None:
    # GIVEN a Dockerfile with three mistakes
    dockerfile = f"FROM {BASE}\nCOPY one.py .\nRUN apt-get update\nCMD app.handler\n"

    # WHEN it is built
    with pytest.raises(DockerfileError) as refused:
        context.lay_out(tmp_path / "work", dockerfile)

    # THEN all are told, in order
    assert [line.partition(":")[0] for line in str(refused.value).splitlines()] == [
        "line 2",
        "line 3",
        "line 4",
    ]


def test_links_out_of_the_context_are_not_followed(context: Context, tmp_path: Path) -> None:
    # GIVEN a link to a file of somebody else
    (tmp_path / "secret").write_text("of somebody else")
    (context.folder / "innocent.txt").symlink_to(tmp_path / "secret")

    # WHEN it is copied, itself or with all that is around it
    for source in ("innocent.txt", "."):
        with pytest.raises(DockerfileError, match="a link that leads out of the build context"):
            context.lay_out(tmp_path / f"work-{len(source)}", f"FROM {BASE}\nCOPY {source} ./\n")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$A/x", "1/x"),
        ("${A}b", "1b"),
        ("${B:-two}", "two"),
        ("${A:-two}", "1"),
        ("${A:+set}", "set"),
        ("${B:+set}", ""),
        (r"\$A", "$A"),
        ("$B", ""),
    ],
)
def test_variables_are_filled_in(text: str, expanded: str) -> None:
    # GIVEN a text with a variable; WHEN it is filled in; THEN it is as the Dockerfile reference says
    assert expand(text, {"A": "1"}) == expanded


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from("FROMCPYUNADELBG \n\\\"'$={}[]#-/.a&;|*?"), max_size=80))
def test_any_text_is_laid_out_or_refused(text: str) -> None:
    # GIVEN any text in a Dockerfile, before or after the base image
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder) / "context")
        for number, dockerfile in enumerate((f"FROM {BASE}\n{text}", f"{text}\nFROM {BASE}")):
            # WHEN it is laid out
            try:
                layout = context.lay_out(Path(folder) / str(number), dockerfile)
            except DockerfileError:
                continue
            # THEN there is an image, or it is refused
            assert layout.root.joinpath("var/task").is_dir()


@pytest.mark.parametrize(
    "instruction", ["COPY", "ADD", "ENV", "LABEL", "ARG", "RUN", "CMD", "WORKDIR", "USER"]
)
@settings(max_examples=25, deadline=None)
@given(rest=st.text(alphabet=st.sampled_from("a.*/\\\"'$={}[],- &;|>"), max_size=30))
def test_any_instruction_is_followed_or_refused(instruction: str, rest: str) -> None:
    # GIVEN an instruction with anything behind it
    with tempfile.TemporaryDirectory() as folder:
        context = Context(Path(folder) / "context")
        context.write({"a": "", "aa/a": ""})
        # WHEN it is followed, or refused
        try:
            layout = context.lay_out(Path(folder) / "work", f"FROM {BASE}\n{instruction} {rest}")
        except DockerfileError:
            return
        # THEN nothing was written but in the image's own folder
        assert {path.name for path in Path(folder).iterdir()} <= {"context", "work"}
        assert layout.root.joinpath("var/task").is_dir()
