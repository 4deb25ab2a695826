//! The verbs that look at a run folder afterwards.

use cloven::{Error, Report};

use crate::{args::ReportArgs, words::print_line};

/// `cloven report`
pub fn report(args: ReportArgs, json: bool) -> Result<(), Error> {
    let report = Report::read(&args.run_folder)?;
    let path = report.write()?;
    match json {
        true => {
            let mut facts = serde_json::to_value(&report).expect("reports have only string keys");
            facts["report"] = path.display().to_string().into();
            print_line(&facts.to_string());
            eprintln!("wrote {}", path.display());
        }
        false => print_line(&format!("wrote {}", path.display())),
    }
    Ok(())
}
