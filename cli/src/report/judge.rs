//! The judge judged, in words: agreement, the gate over all pairs, what choosing by imagination was worth, and how wide intervals
//! should have been.

use std::collections::BTreeMap;
use std::fmt::Write;

use rl::conformal::{Calibrated, FEWEST_POLICIES};
use rl::scorecard::{CLEAR, Decisions, Exploitability, Measured, Scorecard};
use serde::{Deserialize, Serialize};

use super::markdown::{between, number_in};

/// The judge judged: imagined against true scores of the policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JudgeReport {
    /// By share of successes.
    pub success: Scorecard,
    /// By return.
    #[serde(rename = "return")]
    pub return_: Scorecard,
    /// What the gate would have said of each pair.
    pub decisions: Decisions,
    /// What it would have said with intervals as wide as the other policies ask for; `None` in reports of older versions.
    #[serde(default)]
    pub decisions_widened: Option<Decisions>,
    /// How wide the intervals of returns should have been; `None` where no return is known.
    #[serde(default)]
    pub conformal: Option<Calibrated>,
    /// What choosing by imagination was worth; `None` with fewer than two known policies.
    #[serde(default)]
    pub exploitability: Option<Exploitability>,
    /// By return, the estimators beside imagination, each over the policies that it says something of.
    #[serde(default)]
    pub estimators: BTreeMap<String, Scorecard>,
}

impl JudgeReport {
    /// In words, a line each.
    pub fn words(&self) -> String {
        let cards: String = self.cards().iter().map(|(what, card)| card_words(what, card)).collect();
        cards + &self.conclusions()
    }

    /// Every scorecard with what it is of.
    fn cards(&self) -> Vec<(String, &Scorecard)> {
        let mut cards = vec![("success".to_owned(), &self.success), ("return".to_owned(), &self.return_)];
        cards.extend(self.estimators.iter().map(|(name, card)| (format!("return, {name}"), card)));
        cards
    }

    /// The scorecards side by side.
    pub(super) fn table(&self) -> String {
        let cell = |x: Measured| x.map_or("-".to_owned(), |(x, ci95)| number_in(x, ci95));
        let row = |(what, c): (String, &Scorecard)| {
            let inside = c.coverage.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
            let [r, rho, mmrv, regret, error] = [c.pearson, c.spearman, c.mmrv, c.regret, c.error].map(cell);
            format!("| {what} | {} | {r} | {rho} | {mmrv} | {regret} | {error} | {inside} |\n", c.policies)
        };
        let known = self.cards().into_iter().filter(|(_, card)| card.policies > 0);
        "| by | policies | Pearson's r | Spearman's ρ | mean maximum rank violation | regret of the one imagined best | mean error | \
         true means within their interval |\n|---|---|---|---|---|---|---|---|\n"
            .to_owned()
            + &known.map(row).collect::<String>()
    }

    /// What follows from them, a line each.
    pub(super) fn conclusions(&self) -> String {
        let mut out = decisions(&self.decisions);
        if let Some(e) = &self.exploitability {
            out += &exploitability(e);
        }
        match &self.conformal {
            Some(c) => out += &conformal(c, self.decisions_widened.as_ref()),
            None if self.decisions_widened.is_some() => {
                out += "- No return is known, so the gate, which goes by return, could not be calibrated.\n";
            }
            None => {}
        }
        out
    }
}

fn decisions(d: &Decisions) -> String {
    if d.pairs == 0 {
        return String::new();
    }
    let inside = match d.gains {
        0 => String::new(),
        gains => format!(" The true gain lies in the gate's interval in {} of {gains} pairs.", d.gains_inside),
    };
    // A mean that somebody told without its error leaves no doubt only because nobody knows it.
    let beyond_doubt = match d.unmeasured {
        0 => format!("beyond doubt {}", d.refuted),
        n if n == d.pairs => "beyond doubt: cannot be told".to_owned(),
        n => format!("beyond doubt {} (told of {} of the pairs)", d.refuted, d.pairs - n),
    };
    format!(
        "- Of {} pairs of policies the gate says GO to one in place of the other in {} and abstains in {}; false GO, where that one is truly no better: {}, {beyond_doubt}. Of the {} pairs whose true success differs by more than {:.0} points it abstains in {}.{inside}\n",
        d.pairs,
        d.decided,
        d.pairs - d.decided,
        d.contradicted,
        d.clear,
        100.0 * CLEAR,
        d.clear_undecided
    )
}

fn exploitability(e: &Exploitability) -> String {
    format!(
        "- Imagination would choose {}: in {} it gains {:+.3} on {} as imagined and {:+.3} in truth, an exploitability gap of {:+.3} {}.\n",
        e.policy,
        e.by,
        e.imagined_gain,
        e.baseline,
        e.known_gain,
        e.gap,
        between(e.gap_ci95, |x| format!("{x:+.3}"))
    )
}

fn conformal(c: &Calibrated, widened: Option<&Decisions>) -> String {
    if c.policies < FEWEST_POLICIES {
        let (n, policies) = (c.policies, if c.policies == 1 { "policy" } else { "policies" });
        return format!(
            "- Conformal: the known return of {n} {policies} is too little to say how wide intervals should be; at least {FEWEST_POLICIES} are needed.\n"
        );
    }
    let mut out = format!(
        "- Conformal: to hold what is known of {} policies, intervals of a return must be {:.2} times as wide as they are ({})",
        c.policies,
        c.measured,
        c.promise()
    );
    // Writing to a String cannot fail.
    let _ = match widened.filter(|_| c.factor > 1.0) {
        None => write!(out, "; none is narrowed"),
        // Without the two of a pair.
        Some(_) if c.policies < FEWEST_POLICIES + 2 => {
            write!(out, "; the gate is not calibrated by so few beside a pair")
        }
        Some(d) => write!(
            out,
            "; so widened, each pair by what the other policies ask for, the gate says GO in {} pairs, falsely in {}, and abstains in {} of the {} that differ clearly",
            d.decided, d.contradicted, d.clear_undecided, d.clear
        ),
    };
    out + ".\n"
}

/// A scorecard in one line; nothing where nothing is known.
pub fn card_words(what: &str, card: &Scorecard) -> String {
    if card.policies == 0 {
        return String::new();
    }
    let number =
        |x: Measured| x.map_or("cannot be told".to_owned(), |(x, [low, high])| format!("{x:.2} [{low:.2}, {high:.2}]"));
    let coverage = card.coverage.map_or(String::new(), |c| {
        format!("; {:.0} % of the true means lie in their imagined interval, as far as they are known", 100.0 * c)
    });
    format!(
        "- By {what}, {} policies: Pearson's r {}, Spearman's ρ {}, mean maximum rank violation {}, regret of the one imagined best {}, mean error {}{coverage}.\n",
        card.policies,
        number(card.pearson),
        number(card.spearman),
        number(card.mmrv),
        number(card.regret),
        number(card.error),
    )
}
