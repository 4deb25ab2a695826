use std::path::Path;

use super::*;
use crate::{
    AbortReason, memory,
    testing::{assert_wire_format, frame, fuzz, fuzz_time},
};

fn hello() -> Envelope {
    Envelope {
        version: WIRE_VERSION,
        hello: Some(Hello {
            party: "hospital".parse().unwrap(),
            job: std::array::from_fn(|i| i as u8),
            deadline: Duration::from_secs(120),
        }),
    }
}

#[test]
fn the_frames_of_no_protocol_have_the_committed_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/frames.txt");
    let (hospital, cloud) = ["hospital", "cloud"].map(|name| name.parse::<Party>().unwrap()).into();
    let (here, there) = memory::pair(hospital, cloud);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let [keep_alive, abort] = runtime.block_on(async {
        let mut link = Link::new(here);
        link.keep_alive().await.unwrap();
        link.abort(AbortReason::Interrupted).await;
        [there.receive_raw().await.unwrap(), there.receive_raw().await.unwrap()]
    });
    let frames = [("hello", frame(0, &hello())), ("keep-alive", keep_alive), ("abort", abort)];
    assert_wire_format(&path, &frames.map(|(name, bytes)| (name.to_owned(), bytes)));
}

#[test]
fn hostile_hellos_are_errors_or_hellos() {
    let mut payload = Vec::new();
    hello().encode(&mut payload);
    fuzz("hello", fuzz_time(1), &[payload], |bytes| {
        let mut reader = Reader::new(bytes);
        let read = Envelope::decode(&mut reader, &()).and_then(|read| reader.finish().map(|()| read));
        let Ok(read) = read else { return };
        if read.version == WIRE_VERSION {
            let mut again = Vec::new();
            read.encode(&mut again);
            assert!(again == bytes, "two strings of bytes are the same hello");
        } else {
            assert!(read.hello.is_none(), "whatever follows another version is not looked at");
        }
    });
}
