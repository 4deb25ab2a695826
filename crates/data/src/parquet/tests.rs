use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use super::*;
use crate::csv;
use crate::source::{Column, CsvOptions};
use crate::vertical::{VerticalOptions, VerticalTable};

const SCHEMA: &str = "message table {
    required int64 id;
    optional int32 age;
    required double height;
    required boolean smoker;
    optional int32 dose (decimal(9, 2));
    required float weight;
    required int32 visits (integer(32, false));
    optional binary kind (string);
}";

/// The table that [`write`] writes, `?` where a value is null.
const TABLE: &str = "id,age,height,smoker,dose,weight,visits,kind
1,30,1.5,1,0.25,70.5,4000000000,well
2,40,1.6,0,1.5,60.25,0,sick
3,50,1.7,0,-2,80,7,well
4,60,1.8,1,0,90,8,sick
5,70,1.9,1,100,50,9,other
";

/// The rows of a table like [`TABLE`], as text; `?` is null.
fn cells(table: &str) -> Vec<Vec<&str>> {
    table.lines().skip(1).map(|line| line.split(',').collect()).collect()
}

fn column<T: DataType>(group: &mut SerializedRowGroupWriter<fs::File>, texts: &[&str], parse: impl Fn(&str) -> T::T) {
    let levels: Vec<i16> = texts.iter().map(|text| i16::from(*text != "?")).collect();
    let values: Vec<T::T> = texts.iter().filter(|text| **text != "?").map(|text| parse(text)).collect();
    let mut writer = group.next_column().unwrap().unwrap();
    writer.typed::<T>().write_batch(&values, Some(&levels), None).unwrap();
    writer.close().unwrap();
}

/// Writes a table like [`TABLE`], two rows in a group.
fn write(table: &str, compression: Compression) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.parquet");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(fs::File::create(&file).unwrap(), schema, Arc::new(properties)).unwrap();
    for rows in cells(table).chunks(2) {
        let texts = |column: usize| rows.iter().map(|row| row[column]).collect::<Vec<_>>();
        let mut group = writer.next_row_group().unwrap();
        column::<Int64Type>(&mut group, &texts(0), |text| text.parse().unwrap());
        column::<Int32Type>(&mut group, &texts(1), |text| text.parse().unwrap());
        column::<DoubleType>(&mut group, &texts(2), |text| text.parse().unwrap());
        column::<BoolType>(&mut group, &texts(3), |text| text == "1");
        column::<Int32Type>(&mut group, &texts(4), |text| (text.parse::<f64>().unwrap() * 100.0) as i32);
        column::<FloatType>(&mut group, &texts(5), |text| text.parse().unwrap());
        column::<Int32Type>(&mut group, &texts(6), |text| text.parse::<u32>().unwrap() as i32);
        column::<ByteArrayType>(&mut group, &texts(7), |text| ByteArray::from(text));
        group.close().unwrap();
    }
    writer.close().unwrap();
    (folder, file)
}

fn options(target: &str) -> ParquetOptions {
    ParquetOptions {
        target: Some(Column::Name(target.into())),
        drop: vec![Column::Name("id".into())],
        ..ParquetOptions::default()
    }
}

fn refused(file: &Path, options: &ParquetOptions) -> String {
    let error = read_table(file, options).unwrap_err().to_string();
    error.replace(&file.display().to_string(), "t.parquet")
}

#[test]
fn a_table_is_the_same_as_in_csv() {
    let as_csv = CsvOptions {
        target: Some(Column::Name("kind".into())),
        drop: vec![Column::Name("id".into())],
        ..CsvOptions::default()
    };
    let expected = csv::parse(TABLE.as_bytes(), Path::new("t.csv"), &as_csv).unwrap();
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        zstd,
    ] {
        let (_folder, file) = write(TABLE, compression);
        let table = read_table(&file, &options("kind")).unwrap();
        assert_eq!((&table.x, &table.feature_names), (&expected.x, &expected.feature_names));
        let [ours, theirs] = [&table, &expected].map(|table| crate::labels::number(std::slice::from_ref(table), None).unwrap());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn included_columns_come_in_the_order_asked_for() {
    let (_folder, file) = write(TABLE, Compression::SNAPPY);
    let include = ["height", "age"].map(|name| Column::Name(name.into()));
    let including = ParquetOptions {
        include: Some(include.to_vec()),
        ..options("kind")
    };
    let table = read_table(&file, &including).unwrap();
    assert_eq!((table.x.shape(), table.x[[1, 0]], table.x[[1, 1]]), (&[5, 2][..], 1.6, 40.0));
    let unknown = ParquetOptions {
        include: Some(vec![Column::Name("size".into())]),
        ..options("kind")
    };
    assert_eq!(
        refused(&file, &unknown),
        "t.parquet: no column \"size\"; the file has id, age, height, smoker, dose, weight, visits, kind"
    );
}

#[test]
fn targets_may_be_numbers_booleans_or_measured() {
    let (_folder, file) = write(TABLE, Compression::SNAPPY);
    let names = |target: &str| {
        let table = read_table(
            &file,
            &ParquetOptions {
                drop: vec![Column::Name("kind".into())],
                ..options(target)
            },
        )
        .unwrap();
        match crate::labels::number(&[table], None).unwrap().swap_remove(0) {
            crate::samples::Targets::Classes { names, .. } => names.join(" "),
            _ => panic!("expected classes"),
        }
    };
    assert_eq!(
        (names("smoker"), names("age")),
        ("false true".into(), "30 40 50 60 70".into())
    );
    let measured = ParquetOptions {
        regression: true,
        drop: vec![Column::Name("kind".into())],
        ..options("dose")
    };
    let table = read_table(&file, &measured).unwrap();
    let Labels::Values(values) = table.labels else {
        panic!("expected values")
    };
    assert_eq!(values.as_slice().unwrap(), [0.25, 1.5, -2.0, 0.0, 100.0]);
}

#[test]
fn nulls_and_nans_are_missing_values() {
    let table = TABLE
        .replace("2,40,", "2,?,")
        .replace("4,60,1.8", "4,60,NaN")
        .replace("well\n2", "?\n2");
    let (_folder, file) = write(&table, Compression::SNAPPY);
    assert_eq!(
        refused(&file, &options("kind")),
        "t.parquet: row 0, column kind is missing (\"null or NaN\"), 3 missing values in all; fill them in or set on_missing = \
         \"drop-row\""
    );
    let dropping = ParquetOptions {
        on_missing: OnMissing::DropRow,
        ..options("kind")
    };
    let read = read_table(&file, &dropping).unwrap();
    assert_eq!((read.x.shape(), read.dropped, read.x[[0, 0]]), (&[2, 6][..], 3, 50.0));
    let features = read_features(&file, &dropping, None, 6).unwrap();
    assert_eq!(features.rows, [0, 2, 4]);
    let names = ["visits", "age"].map(String::from);
    let drop = ["height", "smoker", "dose", "weight", "id"].map(|name| Column::Name(name.into()));
    let two = ParquetOptions {
        drop: drop.to_vec(),
        ..dropping
    };
    let features = read_features(&file, &two, Some(&names), 2).unwrap();
    assert_eq!(
        (features.names.as_deref(), features.rows),
        (Some(&names[..]), vec![0, 2, 3, 4])
    );
    assert_eq!(features.x.iter().take(2).copied().collect::<Vec<_>>(), [4e9, 30.0]);
}

#[test]
fn columns_that_are_no_features_are_named() {
    let (_folder, file) = write(TABLE, Compression::SNAPPY);
    assert_eq!(
        refused(&file, &options("smoker")),
        "t.parquet: column kind holds text, expected numbers (list the column under drop if it is no feature)"
    );
    assert!(refused(&file, &options("price")).contains("no column \"price\"; the file has id, age, height"));
    assert!(refused(&file, &ParquetOptions::default()).contains("parquet.target is not set"));
    let (_folder, infinite) = write(&TABLE.replace("1.8", "1e300"), Compression::SNAPPY);
    assert_eq!(
        refused(&infinite, &options("kind")),
        "t.parquet: row 3, column height is 1e300, expected a finite 32-bit number"
    );
    let text = infinite.with_file_name("t.parquet");
    fs::write(&text, "id,age\n1,2\n").unwrap();
    assert!(refused(&text, &options("kind")).starts_with("t.parquet: not a valid Parquet file: "));
}

/// Removes the file first: some file systems wait for the disk when a file is overwritten.
fn rewrite(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

#[test]
fn damaged_files_never_panic() {
    let holder: VerticalOptions = toml::from_str("ids.columns = ['id']\ncategorical = ['age']\nparquet.target = 'kind'").unwrap();
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        let (_folder, file) = write(TABLE, compression);
        let good = fs::read(&file).unwrap();
        for position in (0..good.len()).step_by(2) {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << (position / 2 % 8);
            rewrite(&file, &bytes);
            let _ = read_table(&file, &options("kind"));
            let _ = crate::vertical::read_vertical(&file, &holder);
        }
        for length in (0..good.len()).step_by(31) {
            rewrite(&file, &good[..length]);
            assert!(read_table(&file, &options("kind")).is_err(), "cut to {length}");
        }
    }
}

fn ids(file: &Path, columns: &[&str]) -> Result<Ids, DataError> {
    let columns: Vec<Column> = columns.iter().map(|name| Column::Name((*name).into())).collect();
    read_ids(file, &columns)
}

#[test]
fn ids_are_exact_texts_in_the_order_of_the_rows() {
    // The first two differ as integers only, not as 64-bit floats.
    let table = TABLE
        .replace("\n1,", "\n9007199254740993,")
        .replace("\n2,", "\n9007199254740992,")
        .replace("9,sick", "9,?")
        .replace("sick", " s k ")
        .replace("50,1.7,0,", "?,1.7,0,");
    let (_folder, file) = write(&table, Compression::SNAPPY);
    let read = ids(&file, &["id", "kind"]).unwrap();
    let shown: Vec<String> = read
        .rows
        .iter()
        .map(|id| id.as_ref().map_or("-".into(), |parts| parts.join("|")))
        .collect();
    assert_eq!(
        shown,
        ["9007199254740993|well", "9007199254740992|s k", "3|well", "4|s k", "5|other"]
    );
    assert_eq!(read.missing, 0);
    let read = ids(&file, &["age", "smoker", "visits", "dose"]).unwrap();
    assert_eq!((read.rows[2].as_ref(), read.missing), (None, 1));
    assert_eq!(read.rows[0].as_ref().unwrap(), &["30", "true", "4000000000", "0.25"]);
    let twice = ids(&file, &["id", "id"]).unwrap_err().to_string();
    assert_eq!(twice, "id columns must be columns that differ, got column 0 twice");
    assert!(
        ids(&file, &["name"])
            .unwrap_err()
            .to_string()
            .contains("no column \"name\"; the file has id")
    );
}

/// The same holder's table of a CSV file and of a Parquet file, `?` in both where a value is missing.
fn vertical(table: &str, toml: &str) -> [Result<VerticalTable, String>; 2] {
    let options: VerticalOptions = toml::from_str(toml).unwrap();
    let (_folder, parquet) = write(table, Compression::SNAPPY);
    let text = parquet.with_file_name("t.csv");
    fs::write(&text, table).unwrap();
    [text, parquet].map(|file| {
        let read = crate::vertical::read_vertical(&file, &options);
        let read = read.map(|table| VerticalTable {
            file: PathBuf::new(),
            ..table
        });
        read.map_err(|error| error.to_string().replace(&file.display().to_string(), "t"))
    })
}

#[test]
fn a_holder_reads_the_same_table_as_from_csv() {
    let table = TABLE
        .replace("4,60", "4,?")
        .replace("9,other", "9,?")
        .replace("-2,80", "?,80");
    for toml in [
        "ids.columns = ['id']\ncategorical = ['kind', 'age']",
        "ids.columns = ['id']\ncategorical = ['kind']\nsplit_by = ['age']\nparquet.include = ['kind', 'dose']",
        "ids = { columns = ['visits', 'kind'], fold_case = true }\ncsv = { target = 'height', regression = true }",
        "ids.columns = ['id']\nparquet = { target = 'kind', include = ['weight', 'age'], on_missing = 'drop-row' }",
        "ids.columns = ['id']\nparquet = { target = 'age', include = [], on_missing = 'drop-row', regression = true }",
    ] {
        // NaN is equal to nothing, itself included: the tables are compared as text.
        let [ours, theirs] = vertical(&table, toml).map(|table| format!("{:?}", table.unwrap()));
        assert_eq!(ours, theirs);
    }
    let toml = "ids.columns = ['id']\ncategorical = ['kind']\nsplit_by = ['age']\nparquet.include = ['kind', 'dose']";
    let [_, read] = vertical(&table, toml).map(Result::unwrap);
    assert_eq!((&read.numbers[..], read.missing_ids), (&[0, 1, 2, 4][..], 1));
    assert!(read.features[[2, 1]].is_nan() && read.features[[3, 0]].is_nan());
    assert_eq!((read.features[[1, 0]], read.features[[3, 1]]), (1.0, 100.0));
}

#[test]
fn faults_of_a_holder_are_those_of_csv() {
    for (toml, expected) in [
        (
            "ids.columns = ['id']",
            "column kind: expected a number, found text; list the column under categorical",
        ),
        (
            "ids.columns = ['id']\nparquet = { include = [], target = 'kind' }",
            "row 3, column kind is missing (\"no label\"), 1 missing",
        ),
        (
            "ids.columns = ['id']\nparquet = { include = [], target = 'age', regression = true }",
            "row 2, column age is missing",
        ),
        (
            "ids.columns = ['id']\nparquet.include = ['big']",
            "t: no column \"big\"; the file has id, age",
        ),
    ] {
        let [_, error] = vertical(&TABLE.replace("8,sick", "8,?").replace("50,1.7", "?,1.7"), toml).map(Result::unwrap_err);
        assert!(error.contains(expected), "{error}");
    }
}
