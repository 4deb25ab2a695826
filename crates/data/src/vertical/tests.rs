use std::fs;

use proptest::prelude::*;

use super::*;
use crate::source::OnMissing;

const TABLE: &str = "pid,when,ward,age,bmi,out
 7 ,a,north,30,1.5,no
,a,south,31,1,no
8,a,south,?,2.5,yes
9,b,?,50,3.5,no
8,b,north,60,-4,yes
";

fn name(name: &str) -> Column {
    Column::Name(name.into())
}

fn options(toml: &str) -> VerticalOptions {
    toml::from_str(toml).unwrap()
}

fn read(text: &str, options: &VerticalOptions) -> Result<VerticalTable, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    fs::write(&file, text).unwrap();
    read_vertical(&file, options).map_err(|error| error.to_string().replace(&file.display().to_string(), "t.csv"))
}

/// The features as text, `-` where one is missing.
fn shown(table: &VerticalTable) -> Vec<String> {
    let text = |value: &f32| if value.is_nan() { "-".into() } else { value.to_string() };
    let row = |row: ndarray::ArrayView1<f32>| row.iter().map(text).collect::<Vec<_>>().join(" ");
    table.features.outer_iter().map(row).collect()
}

#[test]
fn a_holder_of_features_and_labels() {
    let toml = "ids.columns = ['pid']\nsplit_by = ['when']\ncategorical = ['ward']\ncsv.target = 'out'";
    let table = read(TABLE, &options(toml)).unwrap();
    assert_eq!(table.ids, [["7"], ["8"], ["9"], ["8"]]);
    assert_eq!(table.groups.as_ref().unwrap(), &[["a"], ["a"], ["b"], ["b"]]);
    assert_eq!(
        (&table.numbers[..], table.missing_ids, table.dropped),
        (&[0, 2, 3, 4][..], 1, 0)
    );
    assert_eq!(shown(&table), ["0 30 1.5", "1 - 2.5", "- 50 3.5", "0 60 -4"]);
    let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["ward", "age", "bmi"]);
    let categories = table.columns[0].categories.as_ref().unwrap();
    assert_eq!(
        (&categories[..], &table.columns[1].categories),
        (&["north".into(), "south".into()][..], &None)
    );
    let classes = Targets::Classes {
        index: vec![0, 1, 0, 1],
        names: vec!["no".into(), "yes".into()],
    };
    assert_eq!(table.targets, Some(classes));
}

#[test]
fn a_holder_of_features_alone_chooses_them() {
    let table = read(
        TABLE,
        &options("ids = { columns = ['pid', 'when'] }\ncsv.include = ['bmi', 'age']"),
    )
    .unwrap();
    assert_eq!(
        (table.ids[0].join("|"), table.groups, table.targets),
        ("7|a".into(), None, None)
    );
    assert_eq!(shown(&table_of(&table.features)), ["1.5 30", "2.5 -", "3.5 50", "-4 60"]);
}

fn table_of(features: &Array2<f32>) -> VerticalTable {
    let ids = (0..features.nrows()).map(|row| vec![row.to_string()]).collect();
    let names: Vec<String> = (0..features.ncols()).map(|column| format!("c{column}")).collect();
    VerticalTable::new(Path::new("t"), ids, features.clone(), &names, None).unwrap()
}

#[test]
fn a_holder_of_labels_alone() {
    let table = read(
        TABLE,
        &options("ids.columns = ['pid']\ncsv = { include = [], target = 'out' }"),
    )
    .unwrap();
    assert_eq!((table.features.dim(), table.targets.unwrap().rows()), ((4, 0), 4));
    let measured = "ids.columns = ['pid']\ncsv = { include = [], target = 'bmi', regression = true }";
    let table = read(TABLE, &options(measured)).unwrap();
    assert_eq!(
        table.targets,
        Some(Targets::Values(ndarray::array![[1.5], [2.5], [3.5], [-4.0]]))
    );
}

#[test]
fn rows_with_a_missing_value_are_left_out_on_request() {
    let toml = "ids.columns = ['pid']\ncsv = { include = ['age'], target = 'out', on_missing = 'drop-row' }";
    let table = read(&TABLE.replace("-4,yes", "-4,"), &options(toml)).unwrap();
    assert_eq!(
        (shown(&table), &table.numbers[..], table.dropped),
        (vec!["30".into(), "50".into()], &[0, 3][..], 2)
    );
    assert_eq!(table.targets.unwrap().rows(), 2);
    // Without a target the labels are none of this holder's business.
    let toml = "ids.columns = ['pid']\ncsv = { include = ['age'], on_missing = 'drop-row' }";
    assert_eq!(read(&TABLE.replace("-4,yes", "-4,"), &options(toml)).unwrap().dropped, 1);
}

#[test]
fn markers_may_be_numbers() {
    let toml = "ids.columns = ['pid']\ncsv = { include = ['age', 'bmi'], missing = ['?', '-4'] }";
    assert_eq!(shown(&read(TABLE, &options(toml)).unwrap())[3], "60 -");
}

#[test]
fn faults_are_one_sentence() {
    let cases = [
        (
            "ids.columns = []",
            "id columns must be at least one column, got an empty list",
        ),
        (
            "ids.columns = ['x']",
            "t.csv: no column \"x\"; the file has pid, when, ward, age, bmi, out",
        ),
        (
            "ids.columns = ['pid', 'pid']",
            "id columns must be columns that differ, got column 0 twice",
        ),
        (
            "ids.columns = ['pid']\ncsv.include = ['size']",
            "t.csv: no column \"size\"; the file has pid, when, ward, age, bmi, out",
        ),
        (
            "ids.columns = ['pid']\ncategorical = ['ward']\ncsv.include = ['age']",
            "categorical must be a list of feature columns, got a list with ward",
        ),
        (
            "ids.columns = ['pid']\nsplit_by = ['when']\ncsv.target = 'when'",
            "target must be another column than those of the id and of split_by, got column 1",
        ),
        (
            "ids.columns = ['pid']\ncsv.include = ['ward']",
            "t.csv: line 2, column ward: expected a number, found \"north\"; list the column under categorical, or under drop if it is no feature",
        ),
        (
            "ids.columns = ['pid']\ncsv.include = ['big']",
            "t.csv: no column \"big\"; the file has pid, when, ward, age, bmi, out",
        ),
        (
            "ids.columns = ['pid']\ncsv = { include = [], target = 'age' }",
            "t.csv: line 4, column age is missing (\"no label\"), 1 missing values in all; fill them in or set on_missing = \"drop-row\"",
        ),
    ];
    for (toml, expected) in cases {
        assert_eq!(read(TABLE, &options(toml)).unwrap_err(), expected);
    }
    let pid = options("ids.columns = ['pid']");
    assert_eq!(
        read("pid,x\n,1\n", &pid).unwrap_err(),
        "t.csv: expected at least one row of data, found none"
    );
    assert_eq!(
        read("pid,x\n1,1e39\n", &pid).unwrap_err(),
        "t.csv: line 2, column x is 1e39, expected a finite 32-bit number"
    );
    assert_eq!(
        read("pid,x,x\n1,1,2\n", &pid).unwrap_err(),
        "t.csv: the feature column x occurs 2 times"
    );
    assert!(
        read("pid\n1\n", &pid)
            .unwrap_err()
            .contains("no column is left for a feature")
    );
    let many: String = (0..5000).map(|row| format!("{row},c{row}\n")).collect();
    let error = read(
        &format!("pid,x\n{many}"),
        &options("ids.columns = ['pid']\ncategorical = ['x']"),
    )
    .unwrap_err();
    assert!(error.contains("more than 4096 different values"), "{error}");
    let error = read_vertical(Path::new("t.npy"), &pid).unwrap_err().to_string();
    assert_eq!(
        error,
        "t.npy: ids stand in columns of CSV and Parquet files, but the file is read as npy"
    );
}

#[test]
fn rows_are_brought_into_an_agreed_order() {
    let table = read(
        TABLE,
        &options("ids.columns = ['pid']\ncsv = { include = ['bmi'], target = 'out' }"),
    )
    .unwrap();
    let agreed = table.select(&[2, 0]).unwrap();
    assert_eq!(
        (&agreed.ids[..], &agreed.numbers[..]),
        (&[vec!["9".to_string()], vec!["7".into()]][..], &[3, 0][..])
    );
    assert_eq!(
        (shown(&agreed), agreed.targets.unwrap().rows()),
        (vec!["3.5".into(), "1.5".into()], 2)
    );
    let error = table.select(&[0, 4]).unwrap_err().to_string();
    assert_eq!(error, "row 4 of a table of 4 rows is asked for");
}

#[test]
fn rows_of_one_group_stay_together() {
    let text: String = (0..400).map(|row| format!("{row},{},1\n", row % 40)).collect();
    let table = read(
        &format!("pid,ward,x\n{text}"),
        &options("ids.columns = ['pid']\nsplit_by = ['ward']"),
    )
    .unwrap();
    let split = HashSplit {
        test: 0.3,
        salt: "s".into(),
    };
    let (train, test) = table.split(&split).unwrap();
    assert_eq!(train.len() + test.len(), 400);
    assert!(test.iter().all(|row| train.iter().all(|other| row % 40 != other % 40)));
    let few = table.select(&[0]).unwrap().split(&split).unwrap_err().to_string();
    assert!(
        few.contains("splitting 1 rows or records with test_fraction = 0.3 leaves the"),
        "{few}"
    );
}

#[test]
fn a_file_to_predict_from_may_have_other_columns_in_another_order() {
    let trained =
        options("ids.columns = ['pid']\nsplit_by = ['when']\ncategorical = ['ward']\ncsv = { target = 'out', drop = ['age'] }");
    let later = trained.for_prediction(&["ward", "bmi"]);
    let table = read("x,bmi,pid,ward\n1,2.5,7,west\n", &later).unwrap();
    assert_eq!((shown(&table), table.targets), (vec!["0 2.5".into()], None));
    let error = read("x,bmi,pid\n1,2.5,7\n", &later).unwrap_err();
    assert_eq!(error, "t.csv: no column \"ward\"; the file has x, bmi, pid");

    let headless = options("ids.columns = [0]\ncsv = { header = false, target = 3 }");
    let table = read("7,1.5,2,0\n8,2,3,1\n", &headless).unwrap();
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let table = read("9,4,5\n8,1,0\n", &headless.for_prediction(&names)).unwrap();
    assert_eq!(shown(&table), ["4 5", "1 0"]);
}

#[test]
fn arrays_in_memory_are_checked() {
    let ids = || vec![vec!["a".to_string()], vec!["b".into()]];
    let new = |features: Array2<f32>, names: &[&str], targets: Option<Targets>| {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        VerticalTable::new(Path::new("array"), ids(), features, &names, targets).map_err(|error| error.to_string())
    };
    let x = ndarray::array![[1.0, f32::NAN], [3.0, 4.0]];
    assert_eq!(new(x.clone(), &["p", "q"], None).unwrap().len(), 2);
    let refused = |features, names: &[&str], targets| new(features, names, targets).unwrap_err();
    assert_eq!(
        refused(x.clone(), &["p"], None),
        "a table of 2 ids has columns of features 2, expected 1"
    );
    let one = Some(Targets::Values(ndarray::array![[1.0]]));
    assert_eq!(
        refused(x.clone(), &["p", "q"], one),
        "a table of 2 ids has targets 1, expected 2"
    );
    assert_eq!(
        refused(ndarray::array![[1.0], [f32::INFINITY]], &["p"], None),
        "array: row 1, column p is inf, expected a finite 32-bit number"
    );
}

#[test]
fn options_survive_being_written_down() {
    let all = VerticalOptions {
        ids: IdOptions {
            columns: vec![name("pid"), Column::Number(3)],
            fold_case: true,
        },
        split_by: vec![name("when")],
        categorical: vec![name("ward")],
        format: Some(Format::Csv),
        csv: Some(CsvOptions {
            on_missing: OnMissing::DropRow,
            include: Some(vec![name("ward")]),
            ..CsvOptions::default()
        }),
        parquet: None,
    };
    assert_eq!(options(&toml::to_string(&all).unwrap()), all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_give_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[a-c0-9,?.\n\"-]{0,80}") {
        let folder = tempfile::tempdir().unwrap();
        let headless = options("ids.columns = [0]\ncategorical = [1]\ncsv.header = false");
        let named = options("ids.columns = ['a']\nsplit_by = ['b']\ncsv = { target = 'c', on_missing = 'drop-row' }");
        for (number, content) in [&bytes[..], text.as_bytes(), &[b"a,b,c\n", text.as_bytes()].concat()].into_iter().enumerate() {
            let file = folder.path().join(format!("{number}.csv"));
            fs::write(&file, content).unwrap();
            for options in [&headless, &named] {
                if let Ok(table) = read_vertical(&file, options) {
                    prop_assert!(table.features.iter().all(|value| !value.is_infinite()));
                    prop_assert_eq!((table.features.nrows(), table.numbers.len()), (table.len(), table.len()));
                }
            }
        }
    }
}
