"""Replaces `benchmarks.training.worker`: prints results by name and seed, trains nothing."""

import json
import sys

name, data, seed, threads, target = sys.argv[1:]
for epoch in range(1, 6):
    auroc = 0.5 + epoch / 10 if (name, seed) != ("plain fastai", "4") else 0.6
    seconds = epoch * (1.0 if name == "ours" else 4.0 + int(seed))
    print("a word of fastai's")
    print(json.dumps({"seconds": seconds, "auroc": auroc}))
    if auroc >= float(target):
        break
if (name, seed) == ("ours", "5"):
    raise SystemExit("out of memory")
