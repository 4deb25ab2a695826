use std::fs;

use super::*;

fn inspected(name: &str, bytes: &[u8]) -> (Inspection, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, bytes).unwrap();
    let inspection = inspect(&file, &InspectOptions::default()).unwrap();
    let shown = inspection.to_string().replace(&file.display().to_string(), name);
    (inspection, shown)
}

#[test]
fn a_csv_file_is_described_by_column() {
    let (inspection, shown) = inspected("t.csv", b"id,size,kind\n1,0.5,a\n2,?,b\n3,2.25,a\n4,,a\n");
    let size = &inspection.files[0].arrays[1];
    assert_eq!(
        (size.shape.as_slice(), size.dtype.as_str(), size.missing, size.first_missing),
        (&[4][..], "real", 2, Some(3))
    );
    assert_eq!((size.min, size.max, size.mean), (Some(0.5), Some(2.25), Some(1.375)));
    assert_eq!(
        inspection.files[0].arrays[2].counts,
        Some(vec![("a".into(), 3), ("b".into(), 1)])
    );
    let expected = "\
t.csv (CSV)
  name  shape  type     min   max   mean  missing
  id    4      integer    1     4    2.5        -
  size  4      real     0.5  2.25  1.375        2
  kind  4      text       -     -      -        -
  size: 2 missing, the first in line 3
  kind: a (3), b (1)
";
    assert_eq!(shown, expected);
}

#[test]
fn a_missing_header_is_noticed() {
    let (inspection, _) = inspected("t.data", b"6,148,1\n1,85,0\n");
    let names: Vec<&str> = inspection.files[0].arrays.iter().map(|array| array.name.as_str()).collect();
    assert_eq!(names, ["0", "1", "2"]);
    assert_eq!(inspection.files[0].arrays[2].shape, [2]);
}

#[test]
fn an_idx_file_is_one_array() {
    let (inspection, shown) = inspected("t.idx", &[0, 0, 8, 1, 0, 0, 0, 4, 1, 0, 1, 1]);
    let array = &inspection.files[0].arrays[0];
    assert_eq!((array.dtype.as_str(), array.mean), ("u8", Some(0.75)));
    assert_eq!(array.counts, Some(vec![("0".into(), 1), ("1".into(), 3)]));
    assert!(shown.ends_with("  array: 0 (1), 1 (3)\n"), "{shown}");
}

#[test]
fn values_that_are_not_finite_count_as_missing() {
    let bytes = [
        &[0, 0, 0x0d, 2, 0, 0, 0, 2, 0, 0, 0, 1][..],
        &1.5f32.to_be_bytes(),
        &f32::NAN.to_be_bytes(),
    ]
    .concat();
    let (inspection, shown) = inspected("t.idx", &bytes);
    let array = &inspection.files[0].arrays[0];
    assert_eq!((array.missing, array.first_missing, array.max), (1, Some(1), Some(1.5)));
    assert!(shown.contains("array: 1 missing, the first in row 1"), "{shown}");
}

#[test]
fn an_hdf5_file_lists_its_data_sets() {
    let mut builder = hdf5_pure::FileBuilder::new();
    builder.create_dataset("x").with_f64_data(&[0.5, 1.0]).with_shape(&[2, 1]);
    builder.create_dataset("y").with_u16_data(&[3, 3]).with_shape(&[2]);
    builder.create_dataset("note").with_vlen_strings(&["a", "b"]);
    let (inspection, _) = inspected("t.h5", &builder.finish().unwrap());
    let mut rows: Vec<_> = inspection.files[0]
        .arrays
        .iter()
        .map(|array| (array.name.as_str(), array.dtype.as_str(), array.max))
        .collect();
    rows.sort_by_key(|row| row.0);
    assert_eq!(
        rows,
        [
            ("note", "variable-length elements", None),
            ("x", "f64", Some(1.0)),
            ("y", "u16", Some(3.0))
        ]
    );
}

#[test]
fn a_folder_is_described_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "x,y\n1,2\n").unwrap();
    fs::write(folder.path().join("b.idx"), [0, 0]).unwrap();
    fs::write(folder.path().join("c.txt"), "notes").unwrap();
    let inspection = inspect(folder.path(), &InspectOptions::default()).unwrap();
    let problems: Vec<bool> = inspection.files.iter().map(|file| file.problem.is_some()).collect();
    assert_eq!((problems, inspection.skipped.len()), (vec![false, true], 1));
    let shown = inspection.to_string();
    assert!(
        shown.contains("the file ends too early") && shown.contains("not read, no known format: "),
        "{shown}"
    );
}

#[test]
fn a_wrong_path_or_name_is_one_sentence() {
    let error = inspect(Path::new("no/such.csv"), &InspectOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("no/such.csv: no such file or folder"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.xlsx");
    fs::write(&file, "PAR1").unwrap();
    let error = inspect(&file, &InspectOptions::default()).unwrap_err().to_string();
    assert!(error.contains("the format cannot be told from the name"), "{error}");
}

#[test]
fn serialises() {
    let (inspection, _) = inspected("t.csv", b"a,b\n1,x\n");
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!(json["files"][0]["format"], "csv");
    assert_eq!(json["files"][0]["arrays"][1]["counts"][0][0], "x");
}
