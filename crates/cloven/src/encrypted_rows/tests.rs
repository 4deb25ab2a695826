//! Rows are read back, by a later process too; other jobs and broken files hold nothing.

use super::*;

const UPLOAD: Upload = Upload {
    key: Fingerprint([1; 16]),
    rows: Fingerprint([2; 16]),
};

#[test]
fn rows_outlive_the_process_and_what_was_not_synced_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resume/cloud/samples.encrypted");
    let open = |job: u8, row_len| EncryptedRows::open(&path, [job; DIGEST], row_len);
    let store = open(7, 5);
    assert_eq!(store.held(), None);
    assert!(store.append(&[1; 5]).unwrap_err().why.contains("samples.encrypted"));
    store.begin(UPLOAD).unwrap();
    store.append(&[3; 10]).unwrap();
    store.append(&[4; 5]).unwrap();
    store.flush().unwrap();
    store.append(&[5; 5]).unwrap();
    assert_eq!(store.held(), Some((UPLOAD, 4)));
    let mut row = vec![9];
    store.read(3, &mut row).unwrap();
    store.read(0, &mut row).unwrap();
    assert_eq!(row, [9, 5, 5, 5, 5, 5, 3, 3, 3, 3, 3]);
    assert!(store.read(4, &mut row).is_err());

    // As if the power had gone: the last row was never counted.
    let store = open(7, 5);
    assert_eq!(store.held(), Some((UPLOAD, 3)));
    store.append(&[6; 5]).unwrap();
    row.clear();
    store.read(3, &mut row).unwrap();
    store.read(2, &mut row).unwrap();
    assert_eq!(row, [6, 6, 6, 6, 6, 4, 4, 4, 4, 4]);

    assert_eq!(open(8, 5).held(), None);
    assert_eq!(open(7, 6).held(), None);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..HEADER + 14]).unwrap();
    assert_eq!(open(7, 5).held(), None);
    // A new beginning.
    let store = open(7, 5);
    store.begin(UPLOAD).unwrap();
    assert_eq!(store.held(), Some((UPLOAD, 0)));
}
