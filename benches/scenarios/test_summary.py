"""The arithmetic of summaries: python3 -m unittest discover benches/scenarios"""

import unittest

from summary import Figure, Rounds, markdown

CPU = Figure("cpu", "CPU", at_most=1.0)


def rounds(*values):
    """Rounds of (first floor, engine, last floor)."""
    return Rounds("floor", [[("floor", {"cpu": a}), ("engine", {"cpu": b}), ("floor", {"cpu": c})]
                            for a, b, c in values])


class Summary(unittest.TestCase):
    def test_a_ratio_is_taken_within_its_round(self):
        self.assertEqual(rounds((4, 5, 6), (40, 100, 60)).comparisons("engine", CPU), [1.0, 2.0])

    def test_a_difference_is_in_the_unit_of_the_figure(self):
        figure = Figure("cpu", "CPU", is_difference=True)
        self.assertEqual(rounds((4, 7, 6)).comparisons("engine", figure), [2.0])

    def test_the_spread_is_the_floor_against_itself(self):
        self.assertAlmostEqual(rounds((10, 1, 11), (10, 1, 9), (10, 1, 13)).spread(CPU), 0.1)

    def test_a_bound_is_missed_only_beyond_the_spread(self):
        self.assertEqual([CPU.judge(ratio, 0.05) for ratio in (0.99, 1.04, 1.06)],
                         ["holds", "within spread", "misses"])
        least = Figure("cpu", "CPU", at_least=0.9)
        self.assertEqual([least.judge(ratio, 0.05) for ratio in (0.91, 0.86, 0.84)],
                         ["holds", "within spread", "misses"])

    def test_a_server_without_a_figure_keeps_its_row(self):
        page = markdown("t", "q", rounds((4, None, 4)), [CPU])
        self.assertIn("| engine | – | – | – | – | |", page)

    def test_a_zero_is_a_figure(self):
        figure = Figure("cpu", "CPU", is_difference=True)
        self.assertEqual(rounds((0, 3, 0)).comparisons("engine", figure), [3.0])
        self.assertEqual(rounds((2, 0, 2)).comparisons("engine", figure), [-2.0])

    def test_what_was_lost_is_said(self):
        lossy = Rounds("floor", [[("floor", {"cpu": 1, "missing": 3})]])
        self.assertIn("3 deliveries did not come", markdown("t", "q", lossy, [CPU]))


if __name__ == "__main__":
    unittest.main()
