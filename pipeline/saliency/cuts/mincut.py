"""The minimum cut of a part of an image, compiled: only pixels whose side is open are nodes."""

import numpy as np
from numpy.typing import NDArray

from dilo.pipeline.common.compiled import compiled

#: Rows down and columns right to a pixel's eight neighbours; the opposite of d is 7 - d.
_DOWN = (-1, -1, -1, 0, 0, 1, 1, 1)
_RIGHT = (-1, 0, 1, -1, 1, -1, 0, 1)
#: What a node may hang on besides a neighbour, whose direction is 0 to 7.
_TERMINAL, _ORPHAN, _NONE = 8, 9, 10
_FREE, _SOURCE, _SINK = 0, 1, 2


@compiled
def neighbor_weights(
    image: NDArray[np.uint8], open_pixels: NDArray[np.bool_], strength: float
) -> NDArray[np.float64]:
    """Weigh the links of some pixels to their eight neighbours by the likeness of colours.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB image.
    open_pixels : ndarray of shape (H, W), bool
        Which pixels, N of them.
    strength : float
        Weight of a link between equal colours side by side.

    Returns
    -------
    ndarray of shape (N, 8), float64
        ``strength exp(-d2 / (2 mean(d2))) / l`` for a squared difference of colours d2, with
        its mean over all links of the image, and a distance l, 1 or the root of 2; 0 beyond
        the image's edge.

    References
    ----------
    C. Rother, V. Kolmogorov and A. Blake, "GrabCut: Interactive Foreground Extraction using
    Iterated Graph Cuts", ACM Transactions on Graphics 23(3), 2004, equations 4 and 5.
    """
    height, width = open_pixels.shape
    total, links = 0, 0
    for r in range(height):
        for c in range(width):
            for d in range(4, 8):  # each link once
                y, x = r + _DOWN[d], c + _RIGHT[d]
                if 0 <= x < width and y < height:
                    total += _squared_difference(image, r, c, y, x)
                    links += 1
    fall = -0.5 * links / total if total else 0.0
    weights = np.zeros((open_pixels.sum(), 8))
    node = 0
    for r in range(height):
        for c in range(width):
            if not open_pixels[r, c]:
                continue
            for d in range(8):
                y, x = r + _DOWN[d], c + _RIGHT[d]
                if 0 <= x < width and 0 <= y < height:
                    weight = strength * np.exp(fall * _squared_difference(image, r, c, y, x))
                    diagonal = _DOWN[d] * _RIGHT[d] != 0
                    weights[node, d] = weight * np.sqrt(0.5) if diagonal else weight
            node += 1
    return weights


@compiled
def _squared_difference(image: NDArray[np.uint8], r: int, c: int, y: int, x: int) -> int:
    """Compute the squared difference of two pixels, summed over the channels."""
    total = 0
    for channel in range(3):
        difference = int(image[r, c, channel]) - int(image[y, x, channel])
        total += difference * difference
    return total


@compiled
def minimum_cut(
    foreground: NDArray[np.bool_],
    open_pixels: NDArray[np.bool_],
    preference: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Find the sides of the open pixels that cost least, all other pixels keeping theirs.

    Parameters
    ----------
    foreground : ndarray of shape (H, W), bool
        The side of each pixel; that of open ones has no effect.
    open_pixels : ndarray of shape (H, W), bool
        Which pixels may change sides, N of them.
    preference : ndarray of shape (N,), float64
        How much more an open pixel costs as background than as foreground, row by row.
    weights : ndarray of shape (N, 8), float64
        What it costs that an open pixel and its neighbour lie on different sides, as
        `neighbor_weights` orders them.

    Returns
    -------
    ndarray of shape (H, W), bool
        Foreground; of several cuts that cost as little, the smallest.

    References
    ----------
    Y. Boykov and V. Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for
    Energy Minimization in Vision", IEEE TPAMI 26(9), 2004: two trees grow from both terminals
    until they meet, and what a saturated path cuts off is adopted anew.
    """
    neighbors, terminal = _open_graph(foreground, open_pixels, preference, weights)
    tree = _cut(neighbors, terminal, weights.copy())
    result = foreground.copy()
    node = 0
    for r in range(len(result)):
        for c in range(result.shape[1]):
            if open_pixels[r, c]:
                result[r, c] = tree[node] == _SOURCE
                node += 1
    return result


@compiled
def _open_graph(
    foreground: NDArray[np.bool_],
    open_pixels: NDArray[np.bool_],
    preference: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Count off the open pixels; a link to any other becomes a pull to that one's side."""
    height, width = foreground.shape
    number = np.full((height, width), -1, np.int32)
    count = 0
    for r in range(height):
        for c in range(width):
            if open_pixels[r, c]:
                number[r, c] = count
                count += 1
    neighbors = np.full((count, 8), -1, np.int32)
    terminal = preference.copy()
    for r in range(height):
        for c in range(width):
            node = number[r, c]
            if node < 0:
                continue
            for d in range(8):
                y, x = r + _DOWN[d], c + _RIGHT[d]
                if not (0 <= x < width and 0 <= y < height):
                    continue
                neighbors[node, d] = number[y, x]
                if number[y, x] < 0:
                    terminal[node] += weights[node, d] if foreground[y, x] else -weights[node, d]
    return neighbors, terminal


@compiled
def _cut(
    neighbors: NDArray[np.int32], terminal: NDArray[np.float64], left: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Push all flow there is; tell the tree of each node. `left` is what links still carry."""
    count = len(terminal)
    tree = np.zeros(count, np.int8)
    parent = np.full(count, _NONE, np.int8)
    depth = np.zeros(count, np.int32)
    stamp = np.zeros(count, np.int32)
    queue = np.empty(count + 1, np.int32)  # of active nodes, a ring
    queued = np.zeros(count, np.bool_)
    head, tail = 0, 0
    for node in range(count):
        if terminal[node] != 0:
            tree[node] = _SOURCE if terminal[node] > 0 else _SINK
            parent[node], depth[node] = _TERMINAL, 1
            queue[tail], queued[node] = node, True
            tail += 1
    orphans = np.empty(2 * count + 2, np.int32)
    time = 0
    while head != tail:
        node = queue[head]
        link = -1
        if tree[node] != _FREE:
            link, tail = _grow(
                node, neighbors, left, tree, parent, depth, stamp, queue, queued, tail
            )
        if link < 0:
            head = head + 1 if head < count else 0
            queued[node] = False
            continue
        time += 1
        other = neighbors[node, link]
        if tree[node] == _SINK:
            node, other, link = other, node, 7 - link
        orphan_count = _augment(node, other, link, neighbors, terminal, left, parent, orphans)
        tail = _adopt(
            orphan_count,
            orphans,
            time,
            neighbors,
            left,
            tree,
            parent,
            depth,
            stamp,
            queue,
            queued,
            tail,
        )
    return tree


@compiled
def _grow(
    node: int,
    neighbors: NDArray[np.int32],
    left: NDArray[np.float64],
    tree: NDArray[np.int8],
    parent: NDArray[np.int8],
    depth: NDArray[np.int32],
    stamp: NDArray[np.int32],
    queue: NDArray[np.int32],
    queued: NDArray[np.bool_],
    tail: int,
) -> tuple[int, int]:
    """Let a tree grow from a node; return its link to the other, or -1, and the queue's end."""
    for d in range(8):
        other = neighbors[node, d]
        if other < 0:
            continue
        carries = left[node, d] if tree[node] == _SOURCE else left[other, 7 - d]
        if carries <= 0:
            continue
        if tree[other] == _FREE:
            tree[other] = tree[node]
            parent[other], depth[other], stamp[other] = 7 - d, depth[node] + 1, stamp[node]
            if not queued[other]:
                queue[tail], queued[other] = other, True
                tail = tail + 1 if tail + 1 < len(queue) else 0
        elif tree[other] != tree[node]:
            return d, tail
        elif stamp[other] <= stamp[node] and depth[other] > depth[node]:
            # A shorter way to the terminal.
            parent[other], depth[other], stamp[other] = 7 - d, depth[node] + 1, stamp[node]
    return -1, tail


@compiled
def _augment(
    near_source: int,
    near_sink: int,
    link: int,
    neighbors: NDArray[np.int32],
    terminal: NDArray[np.float64],
    left: NDArray[np.float64],
    parent: NDArray[np.int8],
    orphans: NDArray[np.int32],
) -> int:
    """Fill the path through a link between the trees; return how many nodes it cuts off."""
    flow = left[near_source, link]
    flow = min(flow, _room(near_source, True, neighbors, terminal, left, parent))
    flow = min(flow, _room(near_sink, False, neighbors, terminal, left, parent))
    left[near_source, link] -= flow
    left[near_sink, 7 - link] += flow
    count = _push(near_source, True, flow, neighbors, terminal, left, parent, orphans, 0)
    return _push(near_sink, False, flow, neighbors, terminal, left, parent, orphans, count)


@compiled
def _room(
    node: int,
    source: bool,
    neighbors: NDArray[np.int32],
    terminal: NDArray[np.float64],
    left: NDArray[np.float64],
    parent: NDArray[np.int8],
) -> float:
    """Compute what the way between a node and the terminal of its tree still carries."""
    room: float = np.inf
    while parent[node] != _TERMINAL:
        d = parent[node]
        above = neighbors[node, d]
        room = min(room, left[above, 7 - d] if source else left[node, d])
        node = above
    at_terminal: float = terminal[node] if source else -terminal[node]
    return min(room, at_terminal)


@compiled
def _push(
    node: int,
    source: bool,
    flow: float,
    neighbors: NDArray[np.int32],
    terminal: NDArray[np.float64],
    left: NDArray[np.float64],
    parent: NDArray[np.int8],
    orphans: NDArray[np.int32],
    count: int,
) -> int:
    """Fill that way, and list behind `count` orphans the nodes it cuts off; return how many."""
    while parent[node] != _TERMINAL:
        d = parent[node]
        above = neighbors[node, d]
        if source:
            left[above, 7 - d] -= flow
            left[node, d] += flow
            is_full = left[above, 7 - d] <= 0
        else:
            left[node, d] -= flow
            left[above, 7 - d] += flow
            is_full = left[node, d] <= 0
        if is_full:
            parent[node] = _ORPHAN
            orphans[count] = node
            count += 1
        node = above
    terminal[node] += -flow if source else flow
    if terminal[node] <= 0 if source else terminal[node] >= 0:
        parent[node] = _ORPHAN
        orphans[count] = node
        count += 1
    return count


@compiled
def _adopt(
    count: int,
    orphans: NDArray[np.int32],
    time: int,
    neighbors: NDArray[np.int32],
    left: NDArray[np.float64],
    tree: NDArray[np.int8],
    parent: NDArray[np.int8],
    depth: NDArray[np.int32],
    stamp: NDArray[np.int32],
    queue: NDArray[np.int32],
    queued: NDArray[np.bool_],
    tail: int,
) -> int:
    """Hang each orphan on a neighbour of its tree, or free it; return the queue's end."""
    current = 0
    while current < count:
        node = orphans[current]
        current += 1
        source = tree[node] == _SOURCE
        best, least = -1, len(tree) + 2
        for d in range(8):
            other = neighbors[node, d]
            if other < 0 or tree[other] != tree[node]:
                continue
            if (left[other, 7 - d] if source else left[node, d]) <= 0:
                continue
            distance = _distance_to_terminal(other, time, neighbors, parent, depth, stamp)
            if 0 <= distance < least:
                best, least = d, distance
        if best >= 0:
            parent[node], depth[node], stamp[node] = best, least + 1, time
            continue
        for d in range(8):
            other = neighbors[node, d]
            if other < 0 or tree[other] != tree[node]:
                continue
            if (left[other, 7 - d] if source else left[node, d]) > 0 and not queued[other]:
                queue[tail], queued[other] = other, True
                tail = tail + 1 if tail + 1 < len(queue) else 0
            if parent[other] == 7 - d:
                parent[other] = _ORPHAN
                orphans[count] = other
                count += 1
        tree[node], parent[node] = _FREE, _NONE
    return tail


@compiled
def _distance_to_terminal(
    node: int,
    time: int,
    neighbors: NDArray[np.int32],
    parent: NDArray[np.int8],
    depth: NDArray[np.int32],
    stamp: NDArray[np.int32],
) -> int:
    """Count the links from a node to its terminal, and note it on the way; -1 if cut off."""
    steps, current = 0, node
    while stamp[current] != time:
        if parent[current] == _ORPHAN:
            return -1
        steps += 1
        if parent[current] == _TERMINAL:
            stamp[current], depth[current] = time, 1
            steps -= 1
            break
        current = neighbors[current, parent[current]]
    distance: int = depth[current] + steps
    remaining, current = distance, node
    while stamp[current] != time:
        stamp[current], depth[current] = time, remaining
        remaining -= 1
        current = neighbors[current, parent[current]]
    return distance
