//! The attacks on a view of `vertical`, scored.

use ndarray::{Array2, Axis, concatenate};

use super::VerticalView;
use crate::{
    Audit, AuditError, Finding, Labels,
    attacks::{FEWEST_ROWS, deviation},
    label_findings,
    span::{Span, greater_of_two, rows_right, two_valued_columns},
};

/// What was true.
pub struct VerticalTruth {
    /// All holders' columns of the training rows, `[rows, columns]`.
    pub train: Array2<f32>,
    /// Of the test rows.
    pub test: Array2<f32>,
    /// The columns' names.
    pub names: Vec<String>,
    /// The training rows' classes, where there are classes.
    pub labels: Option<Vec<u32>>,
    /// The number of classes.
    pub classes: usize,
}

/// Runs every attack that the view allows: two-valued columns from h1, labels from the gradient at h1.
///
/// # Errors
/// [`AuditError::Rows`] when the truth is of other rows than the view.
pub fn audit_vertical(view: &VerticalView, truth: &VerticalTruth) -> Result<Audit, AuditError> {
    let mut audit = Audit::default();
    let test = ("shares of the first layer's output, test rows", &view.test, &truth.test);
    let train = ("shares of the first layer's output, training rows", &view.train, &truth.train);
    for (message, passes, columns) in [test, train] {
        binary_columns(message, passes, (columns, &truth.names), &mut audit)?;
    }
    labels("open gradient", &view.gradient, truth, &mut audit)?;
    labels("masked gradient", &view.masked_gradient, truth, &mut audit)?;
    if view.partial_passes > 0 {
        audit
            .not_tried
            .push(format!("{} passes: they are recorded in part", view.partial_passes));
    }
    if audit.findings.is_empty() && audit.not_tried.is_empty() {
        audit
            .not_tried
            .push("nothing: no pass over the rows is recorded in full".to_owned());
    }
    Ok(audit)
}

fn binary_columns(
    message: &str,
    passes: &[Array2<f64>],
    (columns, names): (&Array2<f32>, &[String]),
    audit: &mut Audit,
) -> Result<(), AuditError> {
    let Some(rows) = enough(message, passes, columns.nrows(), audit)? else {
        return Ok(());
    };
    if names.len() != columns.ncols() {
        return Err(AuditError::Rows {
            expected: format!("{} names of columns", columns.ncols()),
            got: names.len().to_string(),
        });
    }
    let truth: Vec<_> = names
        .iter()
        .zip(columns.columns())
        .filter_map(|(name, column)| greater_of_two(column).map(|values| (name.as_str(), values)))
        .collect();
    if truth.is_empty() {
        let why = format!("columns from {message}: none takes two values");
        audit.not_tried.push(why);
        return Ok(());
    }
    let span = two_valued_columns(passes)?;
    let message = format!(
        "{message}, {} passes; they span {} of {} columns",
        passes.len(),
        span.dimension.min(columns.ncols()),
        columns.ncols()
    );
    audit.findings.extend(
        truth
            .iter()
            .map(|(name, values)| column_finding(&span, &message, name, values)),
    );
    audit.rows = audit.rows.max(rows);
    Ok(())
}

/// How well the best of the recovered columns fits a true one of two values; chance is the share of the commoner value.
fn column_finding(span: &Span, message: &str, name: &str, truth: &[bool]) -> Finding {
    let n = truth.len();
    let share = truth.iter().filter(|v| **v).count() as f64 / n.max(1) as f64;
    let chance = share.max(1.0 - share);
    let fits = span
        .columns
        .iter()
        .map(|column| (rows_right(&column.values, truth), column.residual));
    let (right, residual) = fits.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((chance, 1.0));
    let kind = match span.relations {
        0 => "approximate: no equation holds for all rows",
        _ => "exact",
    };
    Finding::new(
        &format!("two-valued directions in the span of all passes ({kind}); this one is {residual:.4} of its length outside"),
        message,
        &format!("column {name}"),
        n,
        "share of rows right (up to which value is which)",
        [right, chance, chance + deviation((chance * (1.0 - chance)).sqrt(), n)],
    )
}

fn labels(message: &str, passes: &[Array2<f64>], truth: &VerticalTruth, audit: &mut Audit) -> Result<(), AuditError> {
    let Some(rows) = enough(message, passes, truth.train.nrows(), audit)? else {
        return Ok(());
    };
    let Some(values) = truth.labels.as_ref().filter(|_| truth.classes >= 2) else {
        audit.not_tried.push("labels: the job has no classes".to_owned());
        return Ok(());
    };
    let passes: Vec<_> = passes.iter().map(|pass| pass.view()).collect();
    let gradient = concatenate(Axis(1), &passes).map_err(|e| AuditError::Rows {
        expected: "passes over the same rows".to_owned(),
        got: e.to_string(),
    })?;
    let labels = Labels {
        values,
        classes: truth.classes,
        logits: false,
    };
    audit
        .findings
        .extend(label_findings(&gradient.mapv(|v| v as f32), message, &labels));
    audit.rows = audit.rows.max(rows);
    Ok(())
}

/// The number of rows, if there is a pass over enough of them.
fn enough(message: &str, passes: &[Array2<f64>], expected: usize, audit: &mut Audit) -> Result<Option<usize>, AuditError> {
    let Some(rows) = passes.first().map(Array2::nrows) else {
        return Ok(None);
    };
    if rows != expected {
        return Err(AuditError::Rows {
            expected: format!("{rows} rows of truth for {message}"),
            got: expected.to_string(),
        });
    }
    if rows < FEWEST_ROWS {
        audit.not_tried.push(format!(
            "{message}: {rows} rows are recorded, at least {FEWEST_ROWS} are needed to tell anything from chance"
        ));
        return Ok(None);
    }
    Ok(Some(rows))
}
