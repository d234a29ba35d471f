//! Reads a C string variable out of a shared object without loading it: `char *module_version = "..."`.
//!
//! Only what Linux hosts of ours are: ELF, 64 bit, little-endian. Anything else, and anything malformed, is `None`.

const SECTION_SYMBOLS: u32 = 11;
const SECTION_RELOCATIONS: u32 = 4;
const HEADER_OF_64_BIT_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";

/// The text that the exported `char *` called `symbol` points to.
pub(crate) fn string_behind(image: &[u8], symbol: &str) -> Option<String> {
    let object = Object::new(image)?;
    let variable = object.symbol(symbol)?;
    let text = object.pointer(variable)?;
    let bytes = object.at_address(text)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    String::from_utf8(bytes.get(..end)?.to_vec()).ok()
}

struct Object<'a> {
    image: &'a [u8],
    sections: Vec<Section>,
}

struct Section {
    kind: u32,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
}

impl<'a> Object<'a> {
    fn new(image: &'a [u8]) -> Option<Self> {
        if !image.starts_with(HEADER_OF_64_BIT_LITTLE_ENDIAN) {
            return None;
        }
        let (table, entry, count) = (u64_at(image, 40)?, u16_at(image, 58)?, u16_at(image, 60)?);
        let section = |index: u16| {
            let at = usize::try_from(table.checked_add(u64::from(entry).checked_mul(u64::from(index))?)?).ok()?;
            let header = image.get(at..)?;
            Some(Section {
                kind: u32_at(header, 4)?,
                address: u64_at(header, 16)?,
                offset: u64_at(header, 24)?,
                size: u64_at(header, 32)?,
                link: u32_at(header, 40)?,
            })
        };
        Some(Self { image, sections: (0..count).map(section).collect::<Option<Vec<_>>>()? })
    }

    /// The address of an exported variable.
    fn symbol(&self, wanted: &str) -> Option<u64> {
        let symbols = self.sections.iter().find(|section| section.kind == SECTION_SYMBOLS)?;
        let names = self.bytes(self.sections.get(usize::try_from(symbols.link).ok()?)?)?;
        self.bytes(symbols)?.chunks_exact(24).find_map(|symbol| {
            let name = names.get(usize::try_from(u32_at(symbol, 0)?).ok()?..)?;
            let matches = name.strip_prefix(wanted.as_bytes())?.first() == Some(&0);
            matches.then(|| u64_at(symbol, 8)).flatten()
        })
    }

    /// What the pointer at `address` will hold (relative to the load address): told by a relocation, else by its place itself.
    fn pointer(&self, address: u64) -> Option<u64> {
        let relocations = self.sections.iter().filter(|section| section.kind == SECTION_RELOCATIONS);
        let told = relocations.filter_map(|section| self.bytes(section)).find_map(|bytes| {
            bytes.chunks_exact(24).find_map(|entry| (u64_at(entry, 0)? == address).then(|| u64_at(entry, 16)).flatten())
        });
        told.or_else(|| u64_at(self.at_address(address)?, 0)).filter(|pointer| *pointer != 0)
    }

    /// The bytes of the file from this address to the end of its section.
    fn at_address(&self, address: u64) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| {
            section.address != 0 && (section.address..section.address.saturating_add(section.size)).contains(&address)
        })?;
        self.bytes(section)?.get(usize::try_from(address.checked_sub(section.address)?).ok()?..)
    }

    fn bytes(&self, section: &Section) -> Option<&'a [u8]> {
        let start = usize::try_from(section.offset).ok()?;
        self.image.get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}
