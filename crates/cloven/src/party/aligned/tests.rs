use super::*;

#[test]
fn the_order_is_kept_for_these_ids_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.aligned");
    let ids: Vec<Id> = (0..5u8).map(|id| [id; 32]).collect();
    write_places(&path, &ids, &[3, 0, 4], true).unwrap();
    assert_eq!(read_places(&path, &ids).unwrap(), [3, 0, 4]);
    write_places(&path, &ids, &[3, 0, 4], false).unwrap();
    for (ids, places) in [(&ids[..], &[0, 3, 4][..]), (&ids[..4], &[3, 0])] {
        let error = write_places(&path, ids, places, false).unwrap_err().to_string();
        assert!(error.contains("no longer those"), "{error}");
    }
    // Without a checkpoint, a run begins anew.
    write_places(&path, &ids[..4], &[1], true).unwrap();
    assert_eq!(read_places(&path, &ids[..4]).unwrap(), [1]);
}

#[test]
fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.aligned");
    let ids = [[1; 32], [2; 32]];
    write_places(&path, &ids, &[1, 0], true).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(read_places(&path, &ids).is_err(), "{cut} bytes");
        let mut changed = whole.clone();
        changed[cut] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert!(read_places(&path, &ids).is_err(), "byte {cut}");
    }
}
