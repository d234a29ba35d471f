//! Kamailio's types and functions, made by bindgen from the headers of the installed version (host/kamailio/build.rs).

#![allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/kamailio.rs"));
include!(concat!(env!("OUT_DIR"), "/kamailio_host.rs"));

const fn same(a: &::core::ffi::CStr, b: &::core::ffi::CStr) -> bool {
    let (a, b) = (a.to_bytes(), b.to_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    a.len() == b.len() && at == a.len()
}

// A flag that build.rs knows nothing of would change layouts: then the headers spell other flags than the installed Kamailio.
const _: () = assert!(same(SER_COMPILE_FLAGS, HOST_FLAGS), "the headers' flags are not those of the installed Kamailio");
