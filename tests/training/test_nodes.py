"""Two nodes of two processes each, as Slurm starts them, on loopback: one batch's gradients, and each photo once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from store_kit import free_port
from training_kit import make_photos

from stylenet.resources import shipped_folder

SCRIPT = """
import json
import sys
import torch
import yaml
from lightning.pytorch import Callback, seed_everything
from training_kit import fit, module, photos
from stylenet.training.data import PhotoDataset

seen = []
take = PhotoDataset.__getitem__

def noting(dataset, key):
    seen.append(key)
    return take(dataset, key)

class Save(Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.is_global_zero and trainer.global_step < 2:
            torch.save([p.grad.clone() for p in pl_module.network.parameters()], f"{sys.argv[2]}_{trainer.global_step}.pt")

    def on_train_end(self, trainer, pl_module):
        with open(f"{sys.argv[2]}_{trainer.global_rank}.json", "w") as file:
            json.dump({"seen": seen[first:], "ranks": [trainer.node_rank, trainer.local_rank, trainer.world_size]}, file)

if __name__ == "__main__":
    seed_everything(0)
    processes = int(sys.argv[3])
    data = photos(sys.argv[1], batch_size=4 // processes)
    options = yaml.safe_load(open(sys.argv[4]))["trainer"] if processes > 1 else {}
    options.update({"devices": 2, "num_nodes": 2, "precision": "32-true"} if processes > 1 else {})
    options.pop("accelerator", None)
    model = module(learning_rate=1e-4)
    PhotoDataset.__getitem__ = noting
    first = 2  # photos that the units of the loss are measured on
    fit(model, data, 6, Save(), limit_val_batches=0, **options)
"""


def start(script: Path, words: list[str], **environment: str) -> subprocess.Popen[str]:
    everywhere = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": f"{Path(__file__).parents[1]}"}
    paths = os.pathsep.join(filter(None, [everywhere["PYTHONPATH"], os.environ.get("PYTHONPATH")]))
    complete = {**os.environ, **everywhere, "PYTHONPATH": paths, **environment}
    return subprocess.Popen([sys.executable, str(script), *words], env=complete, stderr=subprocess.PIPE, text=True)


def slurm(rank: int, port: int) -> dict[str, str]:
    """What ``srun --nodes 2 --ntasks-per-node 2`` tells one of its four processes."""
    numbers = {"PROCID": rank, "LOCALID": rank % 2, "NODEID": rank // 2, "NTASKS": 4, "NTASKS_PER_NODE": 2, "NNODES": 2}
    names = {"JOB_ID": "1", "JOB_NAME": "train", "JOB_NODELIST": "localhost", "NODELIST": "localhost"}
    told = {f"SLURM_{name}": str(value) for name, value in {**numbers, **names}.items()}
    return {**told, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@pytest.mark.long  # a minute of processor time
def test_four_processes_on_two_nodes(tmp_path: Path) -> None:
    folder, script, port = make_photos(tmp_path / "photos", 26), tmp_path / "script.py", free_port()
    script.write_text(SCRIPT)
    alone = start(script, [str(folder), str(tmp_path / "1"), "1"])
    assert alone.wait(timeout=240) == 0, alone.communicate()[1]
    words = [str(folder), str(tmp_path / "4"), "4", str(shipped_folder("configs") / "machines" / "four_nodes.yaml")]
    processes = [start(script, words, **slurm(rank, port)) for rank in range(4)]
    for process in processes:
        told = process.communicate(timeout=300)[1]
        assert process.returncode == 0, told
    found = [json.loads((tmp_path / f"4_{rank}.json").read_text()) for rank in range(4)]
    assert [one["ranks"] for one in found] == [[0, 0, 4], [0, 1, 4], [1, 0, 4], [1, 1, 4]]
    taken = [tuple(key) for one in found for key in one["seen"]]
    assert sorted(taken) == [(0, index) for index in range(24)]
    # The second step's weights differ by what the optimizer makes of rounding.
    for step, tolerance in ((0, 1e-5), (1, 2e-3)):
        saved = [torch.load(tmp_path / f"{count}_{step}.pt", weights_only=True) for count in (1, 4)]
        one, four = (torch.cat([gradient.flatten() for gradient in gradients]) for gradients in saved)
        assert float((four - one).norm()) <= tolerance * float(one.norm())
