//! The SIP server we are loaded into: picks its folder.
