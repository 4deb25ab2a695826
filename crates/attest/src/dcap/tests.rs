use super::*;

const SGX: &[u8] = include_bytes!("../../tests/recorded/sgx_quote");
const TDX: &[u8] = include_bytes!("../../tests/recorded/tdx_quote");

#[test]
fn debug_is_read_from_the_attributes() {
    // Attributes of the enclave at 48 of its report, of the TD at 120; the header before has 48 bytes.
    for (kind, quote, at, bits) in [(Kind::Sgx, SGX, 96, 1..2), (Kind::Tdx, TDX, 168, 0..8)] {
        assert!(!inspect(kind, quote).unwrap().debug);
        for bit in bits {
            let mut debug = quote.to_vec();
            debug[at] |= 1 << bit;
            assert!(inspect(kind, &debug).unwrap().debug, "{kind}, bit {bit}");
        }
    }
}

#[test]
fn padding_is_zeros() {
    let mut padded = TDX.to_vec();
    padded.extend_from_slice(&[0; 100]);
    assert!(inspect(Kind::Tdx, &padded).is_ok());
    padded.push(1);
    assert!(inspect(Kind::Tdx, &padded).is_err());
}

#[test]
fn intels_statuses_keep_their_names() {
    use dcap_qvl::TcbStatus as Intel;
    for intel in [
        Intel::UpToDate,
        Intel::SWHardeningNeeded,
        Intel::ConfigurationNeeded,
        Intel::ConfigurationAndSWHardeningNeeded,
        Intel::OutOfDate,
        Intel::OutOfDateConfigurationNeeded,
        Intel::TDRelaunchAdvised,
        Intel::TDRelaunchAdvisedConfigurationNeeded,
    ] {
        assert_eq!(status(intel).unwrap().to_string(), intel.to_string());
    }
    assert!(status(Intel::Revoked).is_err());
}
