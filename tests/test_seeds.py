import hashlib

import pytest
import torch

from windfirm.seeds import default_stream, number, stream


def test_a_number_is_the_first_63_bits_of_the_sha256_of_its_address() -> None:
    digest = hashlib.sha256(b"7/augment/3").hexdigest()
    assert number(7, "augment", 3) == int(digest[:16], 16) // 2
    assert 0 <= number(7, "augment", 3) < 2**63


def test_every_part_of_the_address_counts() -> None:
    addresses = [(0,), (1,), (0, "order"), (0, "augment"), (0, "augment", 0), (0, "augment", 1), (0, 1, "augment")]
    assert len({number(*address) for address in addresses}) == len(addresses)  # type: ignore[arg-type]


def test_a_stream_starts_afresh_at_each_call_and_knows_nothing_of_the_others() -> None:
    first = torch.rand(4, generator=stream(0, "a"))
    torch.rand(100, generator=stream(0, "b"))
    assert torch.equal(torch.rand(4, generator=stream(0, "a")), first)
    assert not torch.equal(torch.rand(4, generator=stream(0, "b")), first)


def test_streams_are_the_same_in_every_run() -> None:
    assert torch.randint(1000, (4,), generator=stream(0, "order", 0)).tolist() == [111, 719, 628, 794]


def test_drawing_from_a_stream_leaves_the_default_generator_alone() -> None:
    before = torch.random.get_rng_state()
    torch.rand(4, generator=stream(0, "a"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_default_stream_is_seeded_inside_the_block_and_put_back_after_it() -> None:
    before = torch.random.get_rng_state()
    with default_stream(0, "weights"):
        inside = torch.rand(4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(4, generator=stream(0, "weights")))


def test_the_default_stream_is_put_back_after_an_error_too() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError), default_stream(0, "weights"):
        torch.rand(4, 3) @ torch.rand(4, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
