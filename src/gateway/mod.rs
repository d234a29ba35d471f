//! placeholder

pub mod action;
