"""Converters are forked from a process that has imported what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.run import converter_imports

pytestmark = [
    pytest.mark.slow("imports torch in a process of its own"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere converters are started anew"),
]
SCRIPT = """
import json, multiprocessing, os, sys
from export.run import converter_imports

def look(found):
    names = ("broken", "broken.part", "sound", "torchvision")
    found.put([[name in sys.modules for name in names], os.environ["OMP_NUM_THREADS"]])

if __name__ == "__main__":
    before = dict(os.environ)
    converter_imports.begin(["broken", "sound", "absent", "broken"])
    assert dict(os.environ) == before
    context = multiprocessing.get_context("forkserver")
    found = context.Queue()
    process = context.Process(target=look, args=(found,))
    process.start()
    print(json.dumps(found.get()))
    process.join()
"""


def test_the_process_ends_when_an_export_is_gone_before_it_is_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents = iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        converter_imports._first_that_fails(["json", "export.never_reached"])


def test_a_package_that_fails_is_passed_over_with_all_of_it_and_nothing_is_printed(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "part.py").touch()
    (tmp_path / "broken" / "__init__.py").write_text(
        "import broken.part\nprint('hello')\nraise AttributeError('of another numpy')\n"
    )
    (tmp_path / "sound.py").write_text("import sys\nprint('hello', file=sys.stderr)\n")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    places = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert json.loads(done.stdout) == [[False, False, True, True], "1"]
