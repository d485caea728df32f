//! Hand-made HTTP/2 for what no well-behaved client sends. See RFC 9113 for frames and RFC 7541 for
//! headers.

/// Returns the connection preface with empty client settings.
pub(super) fn opening() -> Vec<u8> {
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend(frame(SETTINGS, 0, 0, &[]));
    opening
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;

/// The error code CANCEL.
pub(super) const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// Returns one frame. Payloads here are short.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns the headers of a call of `IngestWithAcks`.
pub(super) fn call_headers() -> Vec<u8> {
    headers_of("IngestWithAcks")
}

/// Returns the headers of a call, without Huffman coding and without the dynamic table.
pub(super) fn headers_of(method: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86]; // :method POST, :scheme http
    literal(&mut block, &[0x04], &format!("/tidegauge.v1.IngestService/{method}")); // :path
    literal(&mut block, &[0x01], "localhost"); // :authority
    literal(&mut block, &[0x0f, 0x10], "application/grpc"); // content-type
    block.extend([0x00, 2]);
    block.extend(b"te");
    literal(&mut block, &[], "trailers");
    block
}

/// Returns a superfluous header of about 100 bytes.
pub(super) fn useless_header() -> Vec<u8> {
    let mut block = vec![0x00, 6];
    block.extend(b"x-fill");
    literal(&mut block, &[], &"a".repeat(90));
    block
}

/// Appends a value of less than 127 bytes after its encoded name.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend(name);
    block.push(u8::try_from(value.len()).unwrap_or(126));
    block.extend(value.as_bytes());
}
