//! The table "who may import whom" in ARCHITECTURE.md against what the crates' manifests say.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn crates_import_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let allowed = table(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let actual = manifests(&root);
    assert_eq!(
        allowed.keys().collect::<Vec<_>>(),
        actual.keys().collect::<Vec<_>>(),
        "one row per crate"
    );
    for (name, imports) in actual {
        let extra: Vec<_> = imports.difference(&allowed[&name]).collect();
        assert!(extra.is_empty(), "{name} may not import {extra:?}");
    }
}

/// Rows `| crate | imports |` after the heading "Who may import whom".
fn table(page: &str) -> Imports {
    let section = page.lines().skip_while(|line| *line != "### Who may import whom").skip(1);
    let rows = section
        .take_while(|line| !line.starts_with('#'))
        .filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        (names(cells[0]).pop_first().unwrap(), names(cells[1]))
    })
    .collect()
}

fn manifests(root: &Path) -> Imports {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let short = |name: &str| name.strip_prefix("cloven-").unwrap_or(name).to_owned();
    let ours = |name: &str| name == "cloven" || name.starts_with("cloven-");
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let imports = dependencies
                .filter(|d| d["kind"].is_null())
                .map(|d| d["name"].as_str().unwrap());
            (
                short(package["name"].as_str().unwrap()),
                imports.filter(|n| ours(n)).map(short).collect(),
            )
        })
        .collect()
}
