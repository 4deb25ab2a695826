//! The verbs that look at a run folder afterwards.

use cloven::{AuditOptions, Audits, Error, Layers, Report};

use crate::{
    args::{AuditArgs, ExportArgs, ReportArgs},
    words::print_line,
};

/// `cloven report`
pub fn report(args: ReportArgs, json: bool) -> Result<(), Error> {
    let report = Report::read(&args.run_folder)?;
    let path = report.write()?;
    let events = args
        .tensorboard
        .as_deref()
        .map(|folder| report.write_tensorboard(folder))
        .transpose()?;
    if let Some(events) = &events {
        eprintln!("wrote {}", events.display());
    }
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

/// `cloven export`
pub fn export(args: ExportArgs, json: bool) -> Result<(), Error> {
    let layers = match &args.party {
        Some(party) => Layers::Of(party),
        None => Layers::Whole(args.client.as_ref()),
    };
    let exported = cloven::export(&args.run_folder, layers, &args.output)?;
    eprintln!(
        "wrote {}: {} numbers of layers {:?}",
        exported.path.display(),
        exported.parameters,
        exported.layers
    );
    match (json, args.snippet) {
        (true, _) => print_line(&serde_json::to_string(&exported).expect("exports have only string keys")),
        (false, true) => print_line(&exported.snippet),
        (false, false) => (),
    }
    Ok(())
}

/// `cloven audit`
pub fn audit(args: AuditArgs, json: bool) -> Result<(), Error> {
    let options = AuditOptions {
        local: args.local,
        rows: args.rows as usize,
    };
    let audits = cloven::audit(&args.run_folder, &options)?;
    match json {
        true => print_line(&serde_json::to_string(&audits).expect("audits have only string keys")),
        false => print_line(&table(&audits)),
    }
    eprintln!("wrote {}", args.run_folder.join(Audits::FILE).display());
    Ok(())
}

fn table(audits: &Audits) -> String {
    let mut lines = Vec::new();
    for (party, of_party) in &audits.parties {
        let audit = &of_party.audit;
        lines.push(format!(
            "{party} as the attacker, {} rows; of the recording: {}",
            audit.rows, of_party.recording
        ));
        for finding in &audit.findings {
            let word = if finding.succeeded { "CAME BACK" } else { "did not succeed" };
            lines.push(format!(
                "\n  {:<12} {word:<16} {:>7.3}  (chance {:.3})",
                finding.target, finding.value, finding.chance
            ));
            lines.push(format!(
                "    {} ({}), {} rows: {}",
                finding.attack, finding.messages, finding.rows, finding.measure
            ));
        }
        lines.extend(audit.not_tried.iter().map(|why| format!("\n  not tried: {why}")));
    }
    lines.push("\nAn attack that did not succeed does not show that none can.".to_owned());
    lines.join("\n")
}
