"""The text that Prometheus reads, taken apart."""

import math
import re

SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: \S+)?$")
LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """All samples of one scrape."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = SAMPLE.match(line)
                if match is None:
                    raise AssertionError(f"no sample: {line!r}")
                name, labels, value = match.groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def names(self):
        """The names of all samples."""
        return {name for name, _, _ in self.samples}

    def matching(self, name, **labels):
        """Labels and value of the samples of this name that have these labels."""
        return [(have, value) for this, have, value in self.samples if this == name and labels.items() <= have.items()]

    def value(self, name, **labels):
        """The sum of the matching samples; 0 where there is none, as before the first event of a counter."""
        return sum(value for _, value in self.matching(name, **labels))

    def histogram(self, name, **labels):
        """Upper bounds of a histogram and how many values are at most that."""
        counts = {}
        for have, value in self.matching(f"{name}_bucket", **labels):
            bound = math.inf if have["le"] == "+Inf" else float(have["le"])
            counts[bound] = counts.get(bound, 0) + value
        return dict(sorted(counts.items()))


def between(before, after, name):
    """The histogram of what happened between two scrapes."""
    earlier = before.histogram(name)
    return {bound: count - earlier.get(bound, 0) for bound, count in after.histogram(name).items()}


def bucket_of(histogram, fraction):
    """The upper bound of the bucket that this fraction of all values reaches up to."""
    total = histogram[math.inf]
    return next(bound for bound, count in histogram.items() if count >= fraction * total)
