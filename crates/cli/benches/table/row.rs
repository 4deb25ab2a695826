//! One target beside what was measured, and how both are printed.

use std::fmt::Write;

use cloven_ring::Backend;
use serde_json::{Value, json};

/// A row of the table.
pub struct Row {
    /// Which part of the run it belongs to.
    pub part: &'static str,
    /// What is measured.
    pub what: String,
    /// The figure, or why there is none.
    pub measured: Result<f64, String>,
    /// Of the figure and its target; empty for a ratio.
    pub unit: &'static str,
    /// The figure should be at most this.
    pub target: Option<f64>,
    /// What is hoped for beyond the target.
    pub aim: Option<f64>,
    /// Figures that the one measured is made of.
    pub detail: String,
}

impl Row {
    /// A figure without a target.
    pub fn new(part: &'static str, what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            part,
            what: what.into(),
            measured: Ok(measured),
            unit,
            target: None,
            aim: None,
            detail: String::new(),
        }
    }

    /// A row whose figure could not be had.
    pub fn not_measured(part: &'static str, what: impl Into<String>, unit: &'static str, why: impl Into<String>) -> Self {
        Self {
            measured: Err(why.into()),
            ..Self::new(part, what, 0.0, unit)
        }
    }

    /// With an upper bound as its target.
    pub fn at_most(self, target: f64) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    /// With a lower upper bound that is hoped for.
    pub fn aim(self, aim: f64) -> Self {
        Self { aim: Some(aim), ..self }
    }

    /// With the figures behind it.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    fn met(&self) -> Option<bool> {
        Some(*self.measured.as_ref().ok()? <= self.target?)
    }

    fn verdict(&self) -> String {
        let (value, target) = match (&self.measured, self.target) {
            (Err(why), _) => return format!("not measured: {why}"),
            (Ok(_), None) => return String::new(),
            (Ok(value), Some(target)) => (*value, target),
        };
        let verdict = match value <= target {
            true => "met".to_owned(),
            false => format!("not met: {} over", percent(value / target - 1.0)),
        };
        match self.aim {
            Some(aim) if value <= aim => format!("{verdict}, aim too"),
            Some(aim) => format!("{verdict}; aim not met: {} over", percent(value / aim - 1.0)),
            None => verdict,
        }
    }

    fn json(&self) -> Value {
        json!({
            "part": self.part,
            "what": self.what,
            "measured": self.measured.as_ref().ok(),
            "not_measured": self.measured.as_ref().err(),
            "unit": self.unit,
            "target_at_most": self.target,
            "aim_at_most": self.aim,
            "met": self.met(),
            "measured_over_target": self.measured.as_ref().ok().zip(self.target).map(|(value, target)| value / target),
            "detail": self.detail,
        })
    }
}

/// The machine, as far as figures depend on it.
pub struct Machine {
    processor: String,
    cores: usize,
    load: [Option<f64>; 2],
}

impl Machine {
    /// This machine, with its load average before and after.
    pub fn new(before: Option<f64>, after: Option<f64>) -> Self {
        let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = information
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            processor: name.map_or("unknown processor", |(_, name)| name).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: [before, after],
        }
    }
}

/// One object: the machine and the rows.
pub fn json(machine: &Machine, rows: &[Row]) -> Value {
    let backends: Vec<_> = Backend::available().into_iter().map(Backend::name).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "backends": backends,
            "load_before": machine.load[0],
            "load_after": machine.load[1],
        },
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

/// The rows in columns, the machine above, a count below.
pub fn table(machine: &Machine, rows: &[Row]) -> String {
    let load = machine
        .load
        .map(|load| load.map_or("unknown".to_owned(), |load| format!("{load:.2}")));
    let mut lines = vec![[
        "what".to_owned(),
        "measured".into(),
        "target".into(),
        "verdict".into(),
        "detail".into(),
    ]];
    for row in rows {
        lines.push([
            row.what.clone(),
            row.measured.as_ref().map_or("-".to_owned(), |value| number(*value, row.unit)),
            row.target
                .map_or(String::new(), |target| format!("<= {}", number(target, row.unit))),
            row.verdict(),
            row.detail.clone(),
        ]);
    }
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 4] = std::array::from_fn(width);
    let mut text = format!(
        "{}, {} cores; load average before {}, after {}\n\n",
        machine.processor, machine.cores, load[0], load[1]
    );
    for [what, measured, target, verdict, detail] in &lines {
        let [w0, w1, w2, w3] = widths;
        let line = format!("{what:w0$}  {measured:>w1$}  {target:>w2$}  {verdict:w3$}  {detail}");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let count = |verdict| rows.iter().filter(|row| row.met() == verdict).count();
    let missing = rows.iter().filter(|row| row.measured.is_err()).count();
    let _ = writeln!(
        text,
        "\n{} met, {} not met, {missing} not measured",
        count(Some(true)),
        count(Some(false))
    );
    text
}

/// Three significant digits, and the unit.
fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 1e-3 => return format!("{value:.1e} {unit}").trim_end().to_owned(),
        other => (2 - other.log10().floor() as i32).clamp(0, 5) as usize,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", (100.0 * fraction).ceil())
}
