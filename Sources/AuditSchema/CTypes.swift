import CAuditSchema

// Names of this target for the C types that protoc-c generates from Proto/.

typealias CClientFrame = Hubaudit__V1__ClientFrame
typealias CServerFrame = Hubaudit__V1__ServerFrame
typealias CEvent = Hubaudit__V1__Event
typealias CRecordBody = Hubaudit__V1__RecordBody
typealias CStart = Hubaudit__V1__Start
typealias CFilter = Hubaudit__V1__Filter

typealias CString = UnsafeMutablePointer<CChar>

/// The text of a C string that `check` has verified to be UTF-8; `nil` for an absent field.
func text(_ string: CString?) -> String? {
  guard let string else { return nil }
  return String(cString: string)
}

func bytes(_ data: ProtobufCBinaryData) -> [UInt8] {
  guard data.len > 0, let start = data.data else { return [] }
  return Array(UnsafeBufferPointer(start: start, count: data.len))
}
