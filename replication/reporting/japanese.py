"""Passages of the Japanese pages and lessons: tables with Japanese headings."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from replication.ledger import OUTCOMES, VERDICTS
from replication.ledger.cell import NOISE_FLOOR
from replication.reporting import counts, essay, price
from replication.reporting._japanese import answers as answers
from replication.reporting.counts import Row, claim_of
from replication.reporting.markdown import table, with_interval

#: Text for subjects without a row in the tables.
NOT_RUN = "未実行"
_VERDICTS = dict(zip(VERDICTS, ("完全一致", "誤差の範囲内", "範囲外", "条件不足", NOT_RUN), strict=True))
_FIGURES = ("数値", "比較の相手", "異なる数値", *_VERDICTS.values())
_WHOSE = ("著者のファイルの再実行", "新しい初期値での追試")
_RELEASED = "B: 公開ファイルの数値"
_OUTCOMES = dict(zip(OUTCOMES, ("成り立つ", "成り立たない", "判定できない", "設定が不明"), strict=True))
_CLAIMS = ("主張", "件数", *_OUTCOMES.values(), "単独で検定:成り立つ", "単独で検定:成り立たない", "一件あたりの実行数")
_NAMES = {
    ("legcnet", "fewer_epochs", ""): "A: 密なネットワークよりエポック数が少ない",
    ("legcnet", "keeps_accuracy", ""): "A: 精度の低下は 1 ポイント未満",
    ("legcnet", "keeps_f1", ""): "A: F1 の低下は 1 ポイント未満",
    ("legcnet", "well_trained", ""): "A: 層の alpha が 2 から 6 の間",
    ("causal", "accuracy_mean", "magnitude"): "B: 曲線の平均で、同数を除いた magnitude より精度が高い",
    ("causal", "accuracy", "iterative_magnitude"): "B: 繰り返し同数を除いた magnitude より精度が高い",
    ("causal", "accuracy", "magnitude"): "B: 同数を除いた magnitude より精度が高い",
    ("causal", "accuracy", "dense"): "B: 精度の低下は 1 ポイント未満",
    ("causal", "abrupt_drop", ""): "B: 精度が急に落ちる",
    ("causal", "flatness", "dense"): "B: 密なネットワークより平坦な極小値",
    ("legcnet", "beats_random", ""): "A: 同数を無作為に除いたマスクより精度が高い",
    ("legcnet", "beats_magnitude", ""): "A: 同数を除いた magnitude のマスクより精度が高い",
    ("legcnet", "beats_magnitude_unretrained", ""): "A: 同上(どちらも再学習なし)",
    ("legcnet", "shap_difference", ""): "A: ほかのマスクより SHAP の重要度が密に近い",
    ("legcnet", "shap_difference", NOISE_FLOOR): "A: 別の密なネットワークより SHAP の重要度が密に近い",
}
_CONTROL_NAMES = {
    ("causal", "abrupt_drop", ""): "B: ほかの手法で精度が急に落ちる",
    ("causal", "flatness", "dense"): "B: ほかの指標や手法で密なネットワークより平坦",
}
_PLACES = {"": "", "equal accuracy": "同じ精度の ", "the same places": "同じ重みでの "}
_CONTROLS = {
    "accuracy": "精度",
    "accuracy_mean": "曲線の平均の精度",
    "accuracy_one_shot": "一度に除いた場合の精度",
    "flatness": "平坦さ",
}
_METHODS = {"ft": "LEGCNet-FT", "pt": "LEGCNet-PT"}

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


def figures(rows: Sequence[Row]) -> str:
    """Return the table of figures by verdict."""
    return counts.figures(rows, head=_FIGURES, whose=_WHOSE, released=_RELEASED)


def claims(rows: Sequence[Row], kind: str = "claim") -> str:
    """Return the table of claims or controls with their cases by outcome."""
    names = {}
    for paper, base, reference in counts.cases(rows, kind):
        against, _, where = counts.words(reference).partition(" at ")
        if base in _CONTROLS:
            names[paper, base, reference] = f"B: {_CONTROLS[base]}({_PLACES.get(where, where)}{against} との比較)"
    names |= _NAMES | (_CONTROL_NAMES if kind == "control" else {})
    return counts.claims(rows, kind, head=_CLAIMS, names=names)


def opening(table: pd.DataFrame) -> str:
    """Return the sentence of `essay.opening`."""
    made = table[table.notebook != ""]
    return (
        f"二つの表には数値が {len(table):,} 個あります。{made.notebook.nunique()} 個のノートブックの実行によるものが "
        f"{len(made):,} 個(プロファイル: {'、'.join(made.profile.unique())})、論文 B の公開された数値で、"
        f"こちらの実行がまだないものが {len(table) - len(made):,} 個です。"
    )


def count_sentence(rows: pd.DataFrame, column: str = "outcome") -> str:
    """Return the counts of outcomes or verdicts, such as "12 件中、成り立つ 3、成り立たない 9", without zeros."""
    found = rows[column].value_counts()
    words = [f"{text} {found[word]}" for word, text in (_OUTCOMES | _VERDICTS).items() if word in found]
    return f"{len(rows)} 件中、{'、'.join(words)}"


def listing(subjects: Mapping[str, pd.DataFrame], words: Callable[[pd.DataFrame], str]) -> str:
    """Return the list of `essay.listing`."""
    return "\n".join(f"- {name}: {words(rows) if len(rows) else NOT_RUN}" for name, rows in subjects.items())


def spread(values: pd.Series, *, digits: int = 3) -> str:
    """Return the range of `essay.spread`, such as "0.25〜0.95"."""
    return essay.spread(values, digits=digits).replace(" to ", "〜")


def costs(benchmarks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the costs of scoring and recording."""
    words = ("{} 以下", "{} 以上", "満たす", "満たさない")
    return price.costs(benchmarks, texts=_COSTS, head=("測ったもの", "目標", "実測", "結果"), words=words)


def legcnet(rows: Sequence[Row]) -> str:
    """Return a table for paper A: accuracy and epochs against dense, and SHAP agreement with dense, per data set."""
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
                *(
                    f"{with_interval(other_row)} {_OUTCOMES.get(other_row['outcome'], '')}" if other_row else "–"
                    for other_row in (row, epochs)
                ),
                *(with_interval(other_row) if other_row else "–" for other_row in (shap, other)),
            ]
        )
    head = ["データ", "手法", "精度の差(枝刈り − 密)", "収束エポック数の差(枝刈り − 密)"]
    return table([*head, "SHAP 順位相関(密と)", "同数を無作為に除いた場合"], lines)


def operations(rows: Sequence[Row]) -> str:
    """Return the table of the times of masked and sparse networks."""
    head = ("スパース率", "推論:マスクのみ", "推論:CSR", "学習:マスクのみ", "学習:CSR")
    return price.operations(rows, head=head)


def causal(rows: Sequence[Row]) -> str:
    """Return a table for paper B's LeNet: critical sparsity, and accuracy against magnitude at the same sparsities."""
    lines = []
    for row in rows:
        claim = claim_of(row)[1]
        if (row["paper"], claim, row["method"]) != ("causal", "abrupt_drop", "causal") or "lenet" not in row["table"]:
            continue
        network = row["table"].removeprefix("abrupt_drop_")
        pairs = [
            other
            for other in rows
            if (other["table"], other["dataset"], other["reference"])
            == (f"accuracy_{network}", row["dataset"], "magnitude")
        ]
        better, worse = (sum(pair["outcome_alone"] == word for pair in pairs) for word in ("holds", "does_not_hold"))
        against = f"{len(pairs)} 点中 {better} 点で上、{worse} 点で下" if pairs else "–"
        lines.append([row["dataset"], with_interval(row), _OUTCOMES[row["outcome"]], against])
    head = ["データ", "臨界スパース率 [95% 区間] (初期値の数)", "急に落ちる", "magnitude との精度比較(単独の検定)"]
    return table(head, lines)


def _one(rows: Sequence[Row], **wanted: str) -> Row | None:
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)
