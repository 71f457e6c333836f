"""What counts as the same shape, and what a page's comments mean; `python test_compare.py`."""

import tempfile
import unittest
from pathlib import Path

import page as pages
from compare import differs

CLASSES = '{"result":[{"label":"cup","score":0.9,"classes":[{"label":"cup","score":0.9},{"label":"mug","score":0.1}]}]}'


class Shapes(unittest.TestCase):
    def test_numbers_and_ids_are_the_machines(self):
        self.assertFalse(differs("json", '{"score":0.97,"id":3}', '{"score":8.2e-7,"id":1}'))
        shown = "request aa864fdbd008413dadcb0635e90b5f33 took 5 ms"
        self.assertFalse(differs("text", shown, "request 0123456789abcdef0123456789abcdef took 17.25 ms"))

    def test_other_words_keys_and_lengths_differ(self):
        self.assertTrue(differs("json", '{"label":"cup"}', '{"label":"mug"}'))
        self.assertTrue(differs("json", '{"a":1}', '{"b":1}'))
        self.assertTrue(differs("json", "[1]", "[1,2]"))
        self.assertTrue(differs("json", '{"a":1}', '{"a":"1"}'))
        self.assertTrue(differs("json", '{"a":1}', '{"a":1}\n{"a":1}'))
        self.assertTrue(differs("text", "ready", "not ready"))

    def test_only_the_first_class_is_named(self):
        self.assertFalse(differs("json", CLASSES, CLASSES.replace("mug", "bowl")))
        self.assertTrue(differs("json", CLASSES, CLASSES.replace('"cup"', '"bowl"')))
        self.assertTrue(differs("json", CLASSES, CLASSES.replace(',{"label":"mug","score":0.1}', "")))

    def test_an_ellipsis_is_anything(self):
        self.assertFalse(differs("text", "one\n…\nfour", "one\ntwo\nthree\nfour"))
        self.assertTrue(differs("text", "one\n…\nfour", "one\ntwo"))
        self.assertFalse(differs("json", '{"a":"x",…}', '{"a":"x","b":[1]}'))

    def test_widths_of_tables_do_not_count(self):
        self.assertFalse(differs("text", "─────\n a   b \n═════", "───────\n a     b\n═══════"))


class Comments(unittest.TestCase):
    def read(self, text: str) -> pages.Page:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "page.md"
            path.write_text(text)
            return pages.read(path)

    def test_a_command_has_its_comment_and_the_output_that_follows_at_once(self):
        page = self.read(
            "<!-- server: A=1 B=2 -->\n\ntext\n\n<!-- run with: 9s => 1s -->\n```sh\nrun 9s\n```\n"
            "<!-- not compared: noise -->\n```text\nout\n```\n\n<!-- not run: no GPU -->\n```sh\nother\n```\n\n"
            "Like this:\n\n```json\n{}\n```\n"
        )
        first, second = page.commands
        self.assertEqual(page.server, {"A": "1", "B": "2"})
        self.assertEqual((first.text, first.output, first.not_compared), ("run 1s", "out", "noise"))
        self.assertEqual((second.not_run, second.output), ("no GPU", None))

    def test_a_comment_must_be_about_something(self):
        for text in ("<!-- not run: no GPU -->\ntext\n", "<!-- run with: a => b -->\n```sh\nc\n```\n"):
            with self.assertRaises(ValueError):
                self.read(text)


if __name__ == "__main__":
    unittest.main()
