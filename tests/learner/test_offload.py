"""Tensors that are moved one by one; :mod:`tests.real.test_offload` has DeepSpeed's."""

from __future__ import annotations

import torch

from r1ray.learner.offload import Moved, own_part


def test_tensors_leave_and_come_back_as_they_were_and_as_they_became() -> None:
    tensors = [torch.arange(6.0).view(2, 3), torch.ones(4, dtype=torch.bfloat16)]
    moved, wholes = Moved(lambda: tensors), [tensor.clone() for tensor in tensors]
    hosts = []
    for _ in range(2):
        places = [tensor.data_ptr() for tensor in tensors]
        moved.leave()
        moved.leave()
        assert all(tensor.data_ptr() != place for tensor, place in zip(tensors, places, strict=True))
        hosts.append([tensor.data_ptr() for tensor in tensors])
        assert all(torch.equal(tensor, whole) for tensor, whole in zip(tensors, wholes, strict=True))
        moved.come_back()
        moved.come_back()
        assert all(tensor.data_ptr() != host for tensor, host in zip(tensors, hosts[-1], strict=True))
        for tensor, whole in zip(tensors, wholes, strict=True):
            assert torch.equal(tensor, whole)
            tensor += 1
            whole += 1
    assert hosts[0] == hosts[1], "their places in host memory are made once"


def test_tensors_that_come_to_be_later_leave_too() -> None:
    tensors: list[torch.Tensor] = []
    moved = Moved(lambda: tensors)
    moved.leave()
    moved.come_back()
    tensors.append(torch.ones(2))
    place = tensors[0].data_ptr()
    moved.leave()
    assert tensors[0].data_ptr() != place


def test_of_a_divided_parameter_a_rank_has_its_part() -> None:
    whole = torch.nn.Parameter(torch.ones(4))
    assert own_part(whole) is whole
    whole.ds_tensor = torch.ones(2)  # type: ignore[attr-defined]
    assert len(own_part(whole)) == 2
