//! The bindings that bindgen made of the real headers (build.rs), nothing else.

#![allow(
    unsafe_code,
    unsafe_op_in_unsafe_fn,
    missing_docs,
    unreachable_pub,
    dead_code,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    improper_ctypes,
    unnecessary_transmutes,
    clippy::all,
    clippy::restriction,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/opensips.rs"));
