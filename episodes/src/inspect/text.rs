//! The report as text, for a terminal.

use std::fmt;

use super::report::Inspection;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  ({})", self.source, self.kind())?;
        self.content().iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "features")?;
        for x in &self.features {
            writeln!(f, "  {:<12} {:<40} {:?}", x.kind, x.key, x.shape)?;
        }
        let heads = ["min", "max", "mean", "std", "at limits"];
        write!(f, "{:<42}", "ranges")?;
        heads.iter().try_for_each(|head| write!(f, " {head:>10}"))?;
        writeln!(f)?;
        for e in self.elements() {
            write!(f, "  {:<40}", e.name)?;
            [e.min, e.max, e.mean, e.std].iter().try_for_each(|x| write!(f, " {x:>10.4}"))?;
            writeln!(f, " {:>8.1} %", 100.0 * e.saturation_share)?;
        }
        writeln!(f, "movement")?;
        self.movement().iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        if self.doubts.is_empty() {
            writeln!(f, "to look at: nothing")?;
        } else {
            writeln!(f, "to look at")?;
            self.doubts.iter().try_for_each(|doubt| writeln!(f, "  {doubt}"))?;
        }
        if self.skipped.is_empty() {
            return writeln!(f, "left out: nothing");
        }
        writeln!(f, "left out")?;
        for s in &self.skipped {
            writeln!(f, "  {}: {}", s.what, s.why)?;
        }
        Ok(())
    }
}
