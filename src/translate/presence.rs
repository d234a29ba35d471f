//! placeholder until the translation lands

/// The presence of one tuple.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TuplePresence {
    /// The resource of its `from`; empty for the bare JID.
    pub resource: String,
    /// The finished stanza.
    pub stanza: String,
}
