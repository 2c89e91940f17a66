//! Rows of results, as a table for people or as JSON.

use std::io::Write as _;

use serde::Serialize;

/// One thing that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Short name.
    pub name: &'static str,
    /// From where to where, and under which conditions.
    pub meaning: &'static str,
    /// Of all values.
    pub unit: &'static str,
    /// How many values.
    pub count: usize,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// What is promised.
    pub target: String,
    /// Whether it is kept; nothing is promised about rows that are there for comparison.
    pub met: Option<bool>,
}

impl Row {
    /// A row without a promise.
    pub fn new(name: &'static str, meaning: &'static str, unit: &'static str, mut values: Vec<f64>) -> Row {
        values.sort_by(f64::total_cmp);
        let (p50, p95, p99) = (
            percentile(&values, 50),
            percentile(&values, 95),
            percentile(&values, 99),
        );
        Row {
            name,
            meaning,
            unit,
            count: values.len(),
            p50,
            p95,
            p99,
            target: String::new(),
            met: None,
        }
    }

    /// Promises a median of at most `p50`, and a 99th percentile where one is given.
    pub fn at_most(mut self, p50: f64, p99: Option<f64>) -> Row {
        self.met = Some(self.p50 <= p50 && p99.is_none_or(|limit| self.p99 <= limit));
        self.target = match p99 {
            Some(p99) => format!("p50 <= {p50}, p99 <= {p99}"),
            None => format!("<= {p50}"),
        };
        self
    }

    /// Promises a median of at most `p50` and a 95th percentile of at most `p95`.
    pub fn within(mut self, p50: f64, p95: f64) -> Row {
        self.met = Some(self.p50 <= p50 && self.p95 <= p95);
        self.target = format!("p50 <= {p50}, p95 <= {p95}");
        self
    }

    /// Promises a median of at least `p50`.
    pub fn at_least(mut self, p50: f64) -> Row {
        self.met = Some(self.p50 >= p50);
        self.target = format!(">= {p50}");
        self
    }
}

/// The value of which `percent` of all are no greater; the values are sorted.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Prints all rows.
pub fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, rows)?;
        writeln!(out)?;
        return Ok(());
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    writeln!(
        out,
        "{:width$} {:>6} {:>10} {:>10} {:>10}  {:5} {:24} verdict",
        "", "n", "p50", "p95", "p99", "unit", "target"
    )?;
    for row in rows {
        let verdict = match row.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let Row {
            name,
            count,
            p50,
            p95,
            p99,
            unit,
            target,
            ..
        } = row;
        writeln!(
            out,
            "{name:width$} {count:>6} {p50:>10.3} {p95:>10.3} {p99:>10.3}  {unit:5} {target:24} {verdict}"
        )?;
    }
    writeln!(out)?;
    for row in rows {
        writeln!(out, "{:width$} {}", row.name, row.meaning)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        for (percent, expected) in [(50, 100.0), (95, 190.0), (99, 198.0)] {
            assert_eq!(percentile(&values, percent), expected);
        }
        assert_eq!(percentile(&[7.0], 50), 7.0);
        assert!(percentile(&[], 50).is_nan());
    }
}
