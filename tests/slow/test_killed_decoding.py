"""Decoding that is killed in the midst: nothing half-done is used, and no process goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_data import folder
from test_decoded_cache import write

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent

SCRIPT = """
import sys
from gdl.data import Folder, parallel_decoding
parallel_decoding.num_processes = lambda: 2
data = Folder(sys.argv[1], (3, 64, 64), levels=256, data_dir=sys.argv[2])
data.setup()
print(data.digest())
"""


def start(photos, data_dir):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(photos), str(data_dir)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def children(pid):
    """The processes that say they were started with this process's file of decoding, by parent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_a_killed_build_is_never_used_and_leaves_no_processes(tmp_path):
    photos, data_dir = tmp_path / "photos", tmp_path / "cache"
    write(photos, 1, size=600)
    for i in range(1, 300):
        shutil.copy(photos / "0000.jpg", photos / f"{i:04}.jpg")
    process = start(photos, data_dir)
    decoded, workers, deadline = data_dir / "decoded", [], time.monotonic() + 60
    while len(workers) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
        building = list(decoded.glob("*.building/images.npy")) if decoded.is_dir() else []
        workers = children(process.pid) if building else []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(workers) == 2, "it was not killed in the midst of the work"
    assert not [p for p in decoded.iterdir() if not p.name.startswith(".")]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a process of the killed build goes on"
        time.sleep(0.05)
    both = [start(photos, data_dir) for _ in range(2)]  # at once: one builds, the other waits
    digests = {process.communicate()[0].split()[-1] for process in both}
    data = folder(photos, shape=(3, 64, 64), data_dir=str(tmp_path / "other"))
    assert digests == {data.digest()}
    assert len([p for p in decoded.iterdir() if not p.name.startswith(".")]) == 1
    assert not list(decoded.glob("*.building"))
