"""More than one of it in a process: reloaded, loaded twice from two places, imported in a subinterpreter."""

import importlib
import importlib.util
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import duewheel

PACKAGE = Path(duewheel.__file__).parent

HEAD = """
import importlib, sys, threading
import duewheel

def works(duewheel, scheduler=None):
    "Run a job that fails once, on a worker and on the loop, and refuse what is no target."
    ran = []
    def on_worker(event):
        ran.append(event.attempt)
        if event.attempt == 1:
            raise duewheel.Snooze(0) if len(ran) == 1 else ValueError
    async def on_loop(event):
        ran.append("loop")
    with scheduler or duewheel.Scheduler() as scheduler:
        scheduler.handle("worker", on_worker)
        scheduler.handle("loop", on_loop)
        scheduler.in_(0, "worker", min_backoff=0)
        assert scheduler.wait(20)
        scheduler.in_(0, "loop")
        assert scheduler.wait(20)
        try:
            scheduler.in_(0, "")
        except ValueError as error:
            assert "1 to 255 bytes" in str(error)
        else:
            raise AssertionError
    assert ran[-2:] == [2, "loop"], ran
    return ran
import logging
logging.getLogger("duewheel").addHandler(logging.NullHandler())
logging.getLogger("duewheel").propagate = False
"""


def run(code, *arguments):
    program = HEAD + textwrap.dedent(code)
    command = [sys.executable, "-X", "faulthandler", "-W", "error", "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr
    return ended.stdout


# Reloaded


def test_the_package_is_reloaded():
    """All names stay those of the modules, which are not loaded again."""
    own = {"connect"}  # a function of the package itself
    names = set(duewheel.__all__) - own
    before = {name: getattr(duewheel, name) for name in names}
    assert importlib.reload(duewheel) is duewheel
    assert {name: getattr(duewheel, name) for name in names} == before


def test_every_module_is_reloaded():
    """Nothing falls over. The names that the extension has met are those that it goes on to know."""
    run("""
    import types
    import duewheel.aio, duewheel.testing, duewheel.reference
    old, before = types.SimpleNamespace(**vars(duewheel)), duewheel.Scheduler()
    before.start()
    assert works(old) == [1, 1, 2, "loop"]
    modules = [name for name in sys.modules if name.split(".")[0] == "duewheel"]
    assert len(modules) > 15, modules
    for order in (sorted, lambda names: sorted(names, reverse=True)):
        for name in order(modules):
            importlib.reload(sys.modules[name])
        importlib.reload(duewheel)
        assert works(old) == [1, 1, 2, "loop"]
        with duewheel.Scheduler() as made:
            ran = threading.Event()
            made.handle("t", lambda event: ran.set())
            made.in_(0, "t", retry_limit=3, options=duewheel.JobOptions(min_backoff=1))
            assert ran.wait(20)
    ran = threading.Event()
    before.handle("t", lambda event: ran.set())
    before.in_(0, "t")
    assert ran.wait(20)
    before.close()
    duewheel.in_(3600, "t")  # the process's own, and its end
    """)


# Loaded twice


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_extension_by_another_name_is_the_same():
    """It is one library, so the types are the same."""
    core = duewheel._core
    again = load(core.__file__, "_core")
    assert again.Scheduler is core.Scheduler
    assert again.Event is core.Event


def test_another_copy_of_the_package_has_its_own_schedulers(tmp_path):
    """Two libraries in one process: each has its own schedulers, threads and classes."""
    shutil.copytree(PACKAGE, tmp_path / "duewheel", ignore=shutil.ignore_patterns("__pycache__"))
    run(
        """
    first = duewheel
    for name in [name for name in sys.modules if name.split(".")[0] == "duewheel"]:
        del sys.modules[name]
    sys.path.insert(0, sys.argv[1])
    import duewheel as second
    assert second.Scheduler is not first.Scheduler
    assert second._core.__file__ != first._core.__file__
    with first.Scheduler() as one, second.Scheduler() as other:
        ran = []
        one.handle("t", lambda event: other.in_(0, "t", event.data))
        other.handle("t", lambda event: ran.append(event.data))
        one.in_many([0] * 100, "t", [b"%d" % number for number in range(100)])
        assert one.wait(20) and other.wait(20)
        assert sorted(ran) == sorted(b"%d" % number for number in range(100))
        works(first)
        works(second)
    for each in (first, second):
        each.in_(3600, "t")  # the process's own, and its end
    """,
        str(tmp_path),
    )


# In a subinterpreter


@pytest.mark.parametrize("isolated", [False, True], ids=["legacy", "isolated"])
@pytest.mark.parametrize("main", ["", "import duewheel"], ids=["alone", "beside the main one"])
def test_a_subinterpreter_is_refused_and_the_main_one_goes_on(isolated, main):
    program = f"""
    import importlib.util, sys
    {main}
    name = "_interpreters" if importlib.util.find_spec("_interpreters") else "_xxsubinterpreters"
    interpreters = __import__(name)
    config = ["isolated" if {isolated} else "legacy"]
    made = interpreters.create(*config) if name == "_interpreters" else interpreters.create(isolated={isolated})
    import_it = '''
    import sys
    sys.path[:] = {sys.path!r}
    try:
        import duewheel
    except ImportError as error:
        assert "subinterpreter" in str(error), error
    else:
        raise AssertionError("imported")
    '''
    import textwrap
    failed = interpreters.run_string(made, textwrap.dedent(import_it))
    assert failed is None, failed.formatted
    interpreters.destroy(made)
    """
    program = textwrap.dedent(program) + HEAD + "works(duewheel)"
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
