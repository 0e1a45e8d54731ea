"""A tree has every token of its sequences where the path of each leads, and shares what is worth it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.batching import MIN_SAVED
from r1ray.learner.packed import pack_sequences, pack_tree
from r1ray.learner.tree import Tree, plan_tree
from tests.learner.trees import CPU, TREES, group, rows_of

few = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=12), min_size=1, max_size=9)


def plan(sequences: list[list[int]], *, shares_all: bool = True) -> Tree:
    return plan_tree([np.array(each) for each in sequences], shares_all=shares_all)


@given(few, st.booleans())
def test_every_sequence_is_found_along_its_path(sequences: list[list[int]], shares_all: bool) -> None:
    tree = plan(sequences, shares_all=shares_all)
    for ids, places in zip(sequences, tree.places, strict=True):
        assert tree.ids_N[places].tolist() == ids
        assert tree.positions_N[places].tolist() == list(range(len(ids)))
    assert sorted({int(place) for places in tree.places for place in places}) == list(range(len(tree.ids_N)))


@given(few)
def test_a_token_is_computed_once_for_all_that_begin_alike(sequences: list[list[int]]) -> None:
    prefixes = {tuple(ids[:end]) for ids in sequences for end in range(1, len(ids) + 1)}
    assert len(plan(sequences).ids_N) == len(prefixes)


@given(few, st.booleans())
def test_nodes_lie_depth_first_below_their_parents(sequences: list[list[int]], shares_all: bool) -> None:
    nodes = plan(sequences, shares_all=shares_all).nodes
    assert nodes[0].start == 0 and all(a.end == b.start for a, b in pairwise(nodes))
    for node in nodes:
        assert node.start < node.end <= node.last
        if node.parent is not None:
            parent = nodes[node.parent]
            assert parent.end <= node.start and node.last <= parent.last
    covered = [{number for number, other in enumerate(nodes) if node.end <= other.start < node.last} for node in nodes]
    for number in range(len(nodes)):
        above, parent = set(), nodes[number].parent
        while parent is not None:
            above.add(parent)
            parent = nodes[parent].parent
        assert above == {other for other in range(len(nodes)) if number in covered[other]}


def test_what_saves_too_little_is_not_shared() -> None:
    small = plan(group(3, prompt=MIN_SAVED // 2 - 1), shares_all=False)
    assert all(node.last == node.end for node in small.nodes)
    enough = plan(group(3, prompt=MIN_SAVED), shares_all=False)
    assert [node.end - node.start for node in enough.nodes if node.last > node.end] == [MIN_SAVED]
    long = plan(group(3, prompt=MIN_SAVED, lengths=(600,)), shares_all=False)
    assert all(node.last == node.end for node in long.nodes), "next to the outputs it is too little"


def test_outputs_that_are_alike_for_long_are_shared_where_their_first_tokens_were_not() -> None:
    """One node for both first tokens of a few: the fork of single tokens is not worth a node."""
    prompt, tail = list(range(3, 33)), list(range(40, 70))
    tree = plan([[*prompt, *tail, 1], [*prompt, *tail, 2], [*prompt, 90]], shares_all=False)
    assert len(tree.ids_N) == 30 + 30 + 2 + 1


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("multiple", [1, 8])
def test_each_chosen_token_has_its_predictor_in_the_order_of_the_sequences(name: str, multiple: int) -> None:
    rows = rows_of(TREES[name])
    tree = pack_tree(rows, device=CPU, multiple=multiple, shares_all=True)
    flat = pack_sequences(rows, device=CPU)
    assert torch.equal(tree.target_C, flat.target_C)
    for field in ("input_ids_N", "position_ids_N"):
        assert torch.equal(getattr(tree, field)[tree.predictor_C], getattr(flat, field)[flat.predictor_C])
    assert len(tree.input_ids_N) % multiple == 0 and len(tree.input_ids_N) - tree.num_tokens < multiple
    assert int(tree.layout.starts[-1]) == len(tree.input_ids_N)


def test_sequences_without_a_common_beginning_are_packed_as_ever() -> None:
    rows = rows_of([[5, 9, 12, 7], [8, 4, 21], [9]])
    tree, flat = pack_tree(rows, device=CPU), pack_sequences(rows, device=CPU)
    assert not tree.layout.nodes
    for field in ("input_ids_N", "position_ids_N", "predictor_C", "target_C"):
        assert torch.equal(getattr(tree, field), getattr(flat, field))
    assert torch.equal(tree.layout.starts, flat.layout.starts)
