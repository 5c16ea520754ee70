"""Tables of measured values with Japanese headings."""

from collections.abc import Mapping, Sequence
from typing import Any

from ccprune.reporting.counts import Row, overall
from ccprune.reporting.markdown import number, table, with_interval
from ccprune.reporting.outcome import OUTCOMES, outcome

_VERDICTS = ("完全一致", "誤差の範囲内", "再現せず", "条件不足")
_OUTCOMES = dict(zip(OUTCOMES, ("成り立つ", "成り立たない", "判定できない", "設定が不明"), strict=True))
_METHODS = {"ft": "LEGCNet-FT", "pt": "LEGCNet-PT"}

_MEASURED = ("legcnet_mnist", "pipeline", "recorder")
# The claims of these benchmarks that say what scoring costs; in the words of benchmarks/.
_COSTS = {
    "seconds for 41,000 weights, training included": "論文 A、MNIST、重み 41,000 個の採点と学習(秒)",
    "and GB of memory for them": "そのときの記憶域(GB)",
    "minutes for 200 networks x 6 datasets": "論文 A、6 データ × 200 初期値の追試全体(分)",
    "ResNet-18, batch 512, recording consecutive steps alone, % of an SGD step": (
        "ResNet-18、バッチ 512、記録だけにかかる時間(学習の一歩に対する %)"
    ),
    "ResNet-18, numbers held per weight": "ResNet-18、重み一つあたりに保持する数",
    "ResNet-18, a mask from 500 recorded steps, MB beyond training": (
        "ResNet-18、500 歩の記録からマスクまで、学習より余分に要る記憶域(MB)"
    ),
}


def verdicts(rows: Sequence[Row]) -> str:
    """How many cells of each paper have which verdict."""
    return overall(rows, head=("論文", "数値", *_VERDICTS), whose=("著者のファイルの再実行", "新しい初期値での追試"))


def costs(benchmarks: Mapping[str, Mapping[str, Any]]) -> str:
    """What scoring and recording cost: what the benchmarks claim, and what was measured."""
    claims = [claim for name in _MEASURED for claim in benchmarks.get(name, {}).get("claims", ())]
    lines = [
        [
            _COSTS[claim["text"]],
            f"{number(claim['most'])} 以下" if claim["most"] is not None else f"{number(claim['least'])} 以上",
            number(claim["measured"]),
            "満たす" if claim["holds"] else "満たさない",
        ]
        for claim in claims
        if claim["text"] in _COSTS
    ]
    return table(["測ったもの", "目標", "実測", "結果"], lines)


def legcnet(rows: Sequence[Row]) -> str:
    """Paper A per data set: accuracy and epochs against dense, and how far SHAP agrees with dense."""
    lines = []
    for row in rows:
        if row["table"] != "keeps_accuracy":
            continue
        data, method = row["dataset"], row["method"]
        epochs = _one(rows, table="fewer_epochs", dataset=data, method=method)
        shap = _one(rows, table="shap", dataset=data, method=method, quantity="spearman")
        other = _one(
            rows, table="shap", dataset=data, method={"ft": "random", "pt": "random_pt"}[method], quantity="spearman"
        )
        lines.append(
            [
                data,
                _METHODS[method],
                *(f"{with_interval(found)} {_OUTCOMES[outcome(found)]}" if found else "–" for found in (row, epochs)),
                *(with_interval(found) if found else "–" for found in (shap, other)),
            ]
        )
    head = ["データ", "手法", "精度の差(枝刈り − 密)", "収束エポック数の差(枝刈り − 密)"]
    return table([*head, "SHAP 順位相関(密と)", "同数を無作為に除いた場合"], lines)


def operations(rows: Sequence[Row]) -> str:
    """Time of masked and of sparse networks over dense at each sparsity, paper A's network for MNIST."""
    chosen = [row for row in rows if row["table"] == "operations" and row["quantity"] == "time_over_dense"]
    data = sorted({row["dataset"] for row in chosen}, key=lambda name: name != "mnist")[:1]
    times = {row["method"]: number(row["ours"]) for row in chosen if row["dataset"] in data}
    levels = dict.fromkeys(method.partition(" at ")[2].partition(",")[0] for method in times)
    forms = [f"{form} at {{}}, {what}" for what in ("inference", "training step") for form in ("masked", "sparse")]
    lines = [[level, *(times.get(form.format(level), "–") for form in forms)] for level in levels]
    head = ["スパース率", "推論:マスクのみ", "推論:CSR", "学習:マスクのみ", "学習:CSR"]
    return table(head, lines)


def causal(rows: Sequence[Row]) -> str:
    """Paper B per data set: the critical sparsity of LeNet, and accuracy against magnitude at the same sparsities."""
    lines = []
    for row in rows:
        if (row["table"], row["method"], row["quantity"]) != ("phase_shift-lenet", "causal", "critical_sparsity"):
            continue
        pairs = [
            other
            for other in rows
            if (other["table"], other["dataset"]) == ("curve-lenet", row["dataset"])
            and other["method"].startswith("causal - magnitude at ")
            and other["ci_low"] is not None
        ]
        better, worse = sum(pair["ci_low"] > 0 for pair in pairs), sum(pair["ci_high"] < 0 for pair in pairs)
        abrupt = "急激とは言えない" if "not shown to be abrupt" in row["note"] else "急激"
        against = f"{len(pairs)} 点中 {better} 点で上、{worse} 点で下" if pairs else "初期値が一つなので比べられない"
        lines.append([row["dataset"], with_interval(row), abrupt, against])
    return table(
        ["データ", "臨界スパース率 [95% 区間] (初期値の数)", "落ち方", "同じスパース率の magnitude との精度比較"], lines
    )


def _one(rows: Sequence[Row], **asked: str) -> Row | None:
    return next((row for row in rows if all(row[key] == value for key, value in asked.items())), None)
