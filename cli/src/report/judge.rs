//! The judge judged, in words: agreement, the gate over all pairs, what choosing by imagination was worth, and how wide intervals
//! should have been.

use std::fmt::Write;

use rl::conformal::Calibrated;
use rl::scorecard::{CLEAR, Decisions, Exploitability, Measured, Scorecard};

use super::JudgeReport;

impl JudgeReport {
    /// In words, a line each.
    pub fn words(&self) -> String {
        let mut out = card_words("success", &self.success) + &card_words("return", &self.return_);
        for (name, card) in &self.estimators {
            out += &card_words(&format!("return, {name}"), card);
        }
        out += &decisions(&self.decisions);
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
    format!(
        "- Of {} pairs of policies the gate says GO to one in place of the other in {} and abstains in {}; false GO, where that one is truly no better: {}, beyond doubt {}. Of the {} pairs whose true success differs by more than {:.0} points it abstains in {}.{inside}\n",
        d.pairs,
        d.decided,
        d.pairs - d.decided,
        d.contradicted,
        d.refuted,
        d.clear,
        100.0 * CLEAR,
        d.clear_undecided
    )
}

fn exploitability(e: &Exploitability) -> String {
    format!(
        "- Imagination would choose {}: in {} it gains {:+.3} on {} as imagined and {:+.3} in truth, an exploitability gap of {:+.3} [{:+.3}, {:+.3}].\n",
        e.policy, e.by, e.imagined_gain, e.baseline, e.known_gain, e.gap, e.gap_ci95[0], e.gap_ci95[1]
    )
}

fn conformal(c: &Calibrated, widened: Option<&Decisions>) -> String {
    let mut out = format!(
        "- Conformal: to hold what is known of {} policies, intervals of a return must be {:.2} times as wide as they are ({})",
        c.policies,
        c.measured,
        c.promise()
    );
    // Writing to a String cannot fail.
    let _ = match widened.filter(|_| c.factor > 1.0) {
        None => write!(out, "; none is narrowed"),
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
    let coverage = card
        .coverage
        .map_or(String::new(), |c| format!("; {:.0} % of the true means lie in their imagined interval", 100.0 * c));
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
