"""Understand what the functions answer that are told of work step by step."""

from __future__ import annotations

import numpy as np
import torch


def ends_work(answer: object) -> bool:
    """Return whether an observer's answer ends the work: ``False``, also that of numpy and torch, as ``losses.mean() > 1`` is
    one. None and everything else, 0 included, goes on."""
    if isinstance(answer, torch.Tensor):
        return answer.dtype == torch.bool and answer.numel() == 1 and not answer.item()
    return isinstance(answer, bool | np.bool_) and not answer
