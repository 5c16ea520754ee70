"""Japanese sentences on the results of each paper, made of the same counts as the English ones."""

from collections.abc import Sequence

from replication.reporting._english import percent, size
from replication.reporting.counts import Row
from replication.reporting.statements import Facts, facts

_LEADS = {
    "figures": ("論文 A の数値の多くは再現される", "論文 A の数値"),
    "claims": (
        "エポック数の減少は示されず、無作為に除いた場合も、同数以上の件で精度が保たれる",
        "論文 A の主張",
    ),
    "explanation": ("論文 A の説明は裏づけられない", "論文 A の説明"),
    "accuracy": ("因果枝刈りが magnitude より優れるかどうかは、まだ分からない", "論文 B の精度"),
    "drop": ("急な低下も、より平坦な極小値も示されない", "論文 B の急な低下と平坦さ"),
    "released": ("論文 B の著者が公開した数値の多くは、まだ比べていない", "論文 B の著者が公開した数値"),
}


def answers(rows: Sequence[Row]) -> str:
    """Return the paragraphs on the same facts as the English pages."""
    counted, found = facts(rows), {}
    theirs, ours, of = counted.theirs, counted.ours, counted.tallies
    if theirs and ours:
        found["figures"] = (
            f"表 1〜3 の異なる数値 {sum(theirs.values())} 個のうち、著者のファイルの再実行で"
            f"最後の桁まで一致したものは {theirs['identical']}(うち {counted.searched} は、一致する設定を探したもの)、"
            f"異なるものは {theirs['outside']}、"
            f"公開されていないものによるため判定できないものは {theirs['underspecified']}。"
            f"新しい初期値での実行と比べると、{ours['within_noise']} が誤差の範囲内、{ours['outside']} が範囲外、"
            f"{ours['underspecified']} が判定できない"
        )
        if counted.chance is not None:
            seen, expected, low, high = counted.chance
            found["figures"] += (
                f"(六つの小さなデータでは、偶然だけでも範囲外は {expected:.1f} 個、{low}〜{high} 個と見込まれ、"
                f"実際は {seen} 個)"
            )
        found["figures"] += "。"
    epochs, accuracy = (of.get(("legcnet", name, "")) for name in ("fewer_epochs", "keeps_accuracy"))
    if epochs and accuracy:
        random = of["random masks"]
        found["claims"] = (
            f"設定の分かる {epochs.known} 件中、エポック数が減る組のほうが多いと示されたのは {epochs.holds} 件、"
            f"増える組のほうが多いと示されたのは {epochs.fails} 件。精度の低下が 1 ポイント未満と示されたのは "
            f"{accuracy.known} 件中 {accuracy.holds} 件"
            f"(同数を無作為に除いた場合は {random.known} 件中 {random.holds} 件)。"
        )
    if counted.own_risk and counted.another_risk:
        own, another = (percent(ends, "〜") for ends in (counted.own_risk, counted.another_risk))
        found["explanation"] = (
            f"グレンジャー検定が「原因」とする重みは、自分のネットワークの誤りに対して {own}、"
            f"別のネットワークの誤りに対して {another}({'、'.join(counted.crossed)})"
        )
        higher, cases = counted.own_higher
        found["explanation"] += f"。前者のほうが高いのは {cases} 件中 {higher} 件(95% 区間)。" if cases else "。"
    found |= _claims_b(counted)
    every = sum(counted.released.values())
    if every:
        fixed, same = counted.designed
        inside = counted.beside["within_noise"] + counted.beside["identical"]
        found["released"] = (
            f"異なる数値 {every} 個のうち、本追試の実行と並べたものは {counted.compared}"
            f"(範囲内 {inside}、範囲外 {counted.beside['outside']}、条件不足 {counted.beside['underspecified']})、"
            f"実験の設計だけで決まる個数は {fixed}(計算して完全に一致したもの {same})、"
            f"本追試の値がまだないものは {every - counted.compared - fixed}。"
        )
    lines = [f"**{_LEADS[name][name not in counted.answered]}。** {text}" for name, text in found.items()]
    if any(isinstance(claim, tuple) and claim[0] == "causal" for claim in of):
        lines.append(
            "**結論を変えうるもの。** 論文 B について、より多くの初期値と、大きなネットワークでの数百エポックの実行。"
        )
    return "\n".join(f"- {line}" for line in lines)


def _claims_b(counted: Facts) -> dict[str, str]:
    """Return the paragraphs on paper B's claims."""
    of, found = counted.tallies, {}
    magnitude, updates, lamp, dense = (
        of.get(("causal", "accuracy", name)) for name in ("magnitude", "squared_updates", "lamp", "dense")
    )
    curves = of.get(("causal", "accuracy_mean", "magnitude"))
    if magnitude and curves and curves.tested:
        found["accuracy"] = (
            f"曲線ごとに平均すると、同数を除いた magnitude より精度が高いのは、補正後の検定で {curves.tested} 本中 "
            f"{curves.holds} 本、低いのは {curves.fails} 本(単独の検定では {curves.holds_alone} 本と "
            f"{curves.fails_alone} 本)。一点ずつでは、単独の検定で {magnitude.tested} 点中 "
            f"{magnitude.holds_alone} 点で上、{magnitude.fails_alone} 点で下、"
            f"補正後は {magnitude.holds} 点と {magnitude.fails} 点"
            "(これほど少ない初期値では、補正後の検定をほとんど通らない)。これらの手順は著者のものより短い。"
        )
        for name, other in (("層ごとに大きさをそろえる LAMP", lamp), ("損失を使わない squared_updates", updates)):
            if other:
                found["accuracy"] += (
                    f"{name} と比べると、単独の検定で {other.tested} 点中 {other.holds_alone} 点で上、"
                    f"{other.fails_alone} 点で下。"
                )
        if dense:
            few, many = (of[name] for name in ("dense, to 90%", "dense, above 90%"))
            found["accuracy"] += (
                "密なネットワークからの精度の低下が 1 ポイント未満なのは、単独の検定で、90% まで除いた "
                f"{few.tested} 点中 {few.holds_alone} 点(低下 {few.fails_alone} 点)、それより多く除いた "
                f"{many.tested} 点中 {many.holds_alone} 点(低下 {many.fails_alone} 点)。"
            )
    if text := _rewound(counted):
        found["accuracy"] = found.get("accuracy", "") + text
    drops, flat, beside = (
        of.get(("causal", *claim)) for claim in (("abrupt_drop", ""), ("flatness", "dense"), ("flatness", "magnitude"))
    )
    if drops and flat:
        found["drop"] = (
            f"急な低下が示されたのは {drops.cases} 本中 {drops.holds} 本{_power(counted)}。"
            f"残った重みでのヘッセ行列の最大固有値とトレースは、単独の検定では {flat.cases} 件中 "
            f"{flat.holds_alone} 件で密より小さく、"
            f"{flat.fails_alone} 件で大きい(補正後は {flat.holds} 件と {flat.fails} 件)。"
            "トレースは、重みが減るだけでも小さくなりやすい。"
        )
        if beside:
            found["drop"] += (
                f"同数を除いた magnitude と比べると、すべての指標で、単独の検定では {beside.tested} 件中 "
                f"{beside.holds_alone} 件で平坦、{beside.fails_alone} 件で急峻"
                f"(補正後は {beside.holds} 件と {beside.fails} 件)。"
            )
        found["drop"] += "ほかは判定できない。"
    return found


def _rewound(counted: Facts) -> str:
    """Return a sentence for each network and data set under the protocol of 2024."""
    names = {"shuffled": "同じマスクを層ごとに並べ替えたもの", "iterative_magnitude": "同数を繰り返し除いた magnitude "}
    text = ""
    for (network, dataset, sparsity, number), compared in counted.rewound.items():
        parts = []
        for row in compared:
            by, low, high = size(row)
            parts.append(
                f"{names[row['reference']]}より {by:.3f} [{low:.3f}, {high:.3f}] "
                f"{'高い' if row['ours'] > 0 else '低い'}"
                f"({'判定できない' if row['outcome'] == 'undecided' else '検定で示された'})"
            )
        text += (
            f"訓練を短くした 2024 年版の手順({dataset} の {network}、{sparsity:.0%} を除去、{number} 個)では、"
            f"因果枝刈りの精度は{'、'.join(parts)}。"
        )
    return text


def _power(counted: Facts) -> str:
    """Return the power for a straight fall, in brackets."""
    if not (power := counted.drop_powers):
        return ""
    shares = "、".join(f"{100 * share:.0f}%" for share in sorted(power))
    return f"(同じ深さでまっすぐ落ちる場合の検出力は、模擬実験では {len(power)} 本について補正前で {shares})"
