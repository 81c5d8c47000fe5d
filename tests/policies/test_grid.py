"""The grid: places stay where they are while the robot moves, and what is left behind begins anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phonotaxis.policies.grid import Grid, Walk, azimuth, over_polar

CELLS, CELL_M = 8, 0.5


@pytest.fixture
def grid() -> Grid:
    return Grid(CELLS, CELL_M)


def walked(grid: Grid, moves: list[tuple[float, float, float]]) -> Walk:
    """Walk by moves in metres and radians."""
    return grid.walk(torch.tensor(moves)[:, None], torch.zeros(1, 3), torch.zeros(len(moves), 1, 1))


def test_a_square_ends_where_it_began(grid: Grid) -> None:
    end = walked(grid, [(0.4, 0.0, math.pi / 2)] * 4).end[-1, 0]
    torch.testing.assert_close(torch.minimum(end[:2], grid.side_m - end[:2]), torch.zeros(2), atol=1e-5, rtol=0)
    assert math.sin(float(end[2])) == pytest.approx(0.0, abs=1e-5)
    assert math.cos(float(end[2])) == pytest.approx(1.0)


def test_a_step_ends_on_the_grid_where_the_next_begins(grid: Grid) -> None:
    before, after, end = walked(grid, [(-0.3, 0.2, 1.0)] * 40)
    assert torch.equal(before[1:], end[:-1])
    assert float(end[..., :2].min()) >= 0.0
    assert float(end[..., :2].max()) <= grid.side_m
    assert float(end[..., 2].abs().max()) <= math.pi + 1e-6
    rounds = (after - end) / torch.tensor([grid.side_m, grid.side_m, 2.0 * math.pi])
    torch.testing.assert_close(rounds, torch.round(rounds), atol=1e-5, rtol=0)
    assert rounds.abs().amax(dim=(0, 1)).tolist() == pytest.approx([1.0] * 3)  # each was left once at least


def test_moves_sideways_are_to_the_left(grid: Grid) -> None:
    after = walked(grid, [(0.0, 0.0, math.pi / 2), (0.1, 0.2, 0.0)]).after
    torch.testing.assert_close(after[-1, 0], torch.tensor([-0.2, 0.1, math.pi / 2]))


def test_an_episode_starts_at_the_origin(grid: Grid) -> None:
    after = grid.walk(torch.zeros(1, 2, 3), torch.ones(2, 3), torch.tensor([[[1.0], [0.0]]])).after
    assert after[0].tolist() == [[0.0] * 3, [1.0] * 3]


def test_a_place_keeps_its_cell(grid: Grid) -> None:
    """A cell's place, told from the robot wherever it is, is one place of the world, modulo the grid's side."""
    rng = np.random.default_rng(0)
    moves = [(0.3, float(rng.uniform(-0.1, 0.1)), float(rng.uniform(-1, 1))) for _ in range(40)]
    before, after, _ = walked(grid, moves)
    cells = grid.about(before[:, 0], after[:, 0], torch.zeros(40, 1))
    cosine, sine = torch.cos(after[:, 0, 2, None, None]), torch.sin(after[:, 0, 2, None, None])
    x = after[:, 0, 0, None, None] + cosine * cells.x - sine * cells.y
    y = after[:, 0, 1, None, None] + sine * cells.x + cosine * cells.y
    centres = (torch.arange(CELLS) + 0.5) * CELL_M
    for found, expected in ((x, centres[:, None]), (y, centres[None])):
        off = (found - expected + 0.5 * grid.side_m) % grid.side_m - 0.5 * grid.side_m
        assert float(off.abs().max()) < 1e-5
    assert float(torch.hypot(cells.x, cells.y).max()) <= grid.side_m / math.sqrt(2.0) + 1e-5


def test_cells_that_are_left_behind_begin_anew(grid: Grid) -> None:
    """Going straight, row by row; within a whole side every cell once."""
    before, after, _ = walked(grid, [(0.25, 0.0, 0.0)] * int(grid.side_m / 0.25))
    cells = grid.about(before[:, 0], after[:, 0], torch.zeros(len(after), 1))
    anew = 1.0 - cells.stays
    assert anew.sum(dim=0).tolist() == [[1.0] * CELLS] * CELLS
    assert float(cells.x[anew > 0].min()) > grid.side_m / 2 - CELL_M  # they are the farthest ahead now


def test_turning_on_the_spot_leaves_all(grid: Grid) -> None:
    before, after, _ = walked(grid, [(0.0, 0.0, 0.7)] * 12)
    assert grid.about(before[:, 0], after[:, 0], torch.zeros(12, 1)).stays.all()


def test_reads_what_lies_there_across_the_edge(grid: Grid) -> None:
    """A cell behind the edge of the layers, found from a turned robot."""
    layers = torch.zeros(1, 2, CELLS, CELLS)
    layers[0, 1, CELLS - 1, 2] = 1.0  # at (-0.25, 1.25)
    pose = torch.tensor([[0.25, 0.25, math.pi / 2]])
    points = torch.tensor([[[1.0], [0.5]], [[0.5], [0.5]]])  # the place itself, and one a cell beside it
    found = grid.read(layers, points, pose)
    torch.testing.assert_close(found[0, :, :, 0], torch.tensor([[0.0, 0.0], [1.0, 0.0]]), atol=1e-5, rtol=0)


def test_polar_values_lie_in_their_direction_and_range(grid: Grid) -> None:
    polar = torch.zeros(1, 3, 36)
    polar[0, 1, 9] = 1.0  # 90 degrees to the left, 1 m
    pose = torch.tensor([[0.25, 0.25, 0.0]])
    cells = grid.about(pose, pose, torch.zeros(1, 1))
    laid = over_polar(polar, cells, 0.5)[0, 0]
    best = int(laid.argmax())
    assert float(cells.x.flatten()[best]) == pytest.approx(0.0, abs=1e-6)
    assert float(cells.y.flatten()[best]) == pytest.approx(1.0)
    assert float(laid.max()) == pytest.approx(1.0, abs=1e-3)


def test_the_ring_of_polar_values_is_closed(grid: Grid) -> None:
    """Between the last azimuth and the first lies what is between them."""
    polar = torch.zeros(1, 1, 36)
    polar[0, 0, [0, 35]] = 1.0
    pose = torch.tensor([[0.25, 0.25, math.radians(5.0)]])
    cells = grid.about(pose, pose, torch.zeros(1, 1))
    laid = over_polar(polar, cells, 0.5)[0, 0].flatten()
    ahead = torch.atan2(cells.y, cells.x).flatten().rad2deg()
    between = (ahead > -9.9) & (ahead < -0.1)
    assert between.any()
    torch.testing.assert_close(laid[between], torch.ones(int(between.sum())), atol=1e-3, rtol=0)


def test_azimuths_are_those_of_atan2() -> None:
    angle = torch.linspace(-math.pi + 1e-4, math.pi - 1e-4, 10_001)
    for far_m in (0.05, 1.0, 12.0):
        x, y = far_m * torch.cos(angle), far_m * torch.sin(angle)
        torch.testing.assert_close(azimuth(x, y), torch.atan2(y, x), atol=1e-4, rtol=0)
    straight = azimuth(torch.tensor([0.0, 1.0, 0.0, -1.0]), torch.tensor([0.0, 0.0, -1.0, 0.0]))
    assert torch.isfinite(straight).all()
    assert abs(float(straight[3])) == pytest.approx(math.pi, abs=1e-4)
