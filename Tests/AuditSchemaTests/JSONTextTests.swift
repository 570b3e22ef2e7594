import AuditSchema
import Testing

@Suite struct JSONTextTests {
  private func isObject(_ text: String) -> Bool { Array(text.utf8).withUnsafeBytes { JSONText.isObject($0) } }

  @Test(
    "what RFC 8259 calls an object is taken",
    arguments: [
      "{}", " { } \n", #"{"a":1}"#, #"{"a":[1,2.5,-0,1e9,1E-2,true,false,null,"x",[],{}]}"#, #"{"a":"\u00e9\n\\\""}"#,
      #"{"a":{"b":{"c":[[[]]]}}}"#, #"{"":""}"#, "{\"\u{20ac}\":\"😀\"}", #"{"n":NaN,"i":Infinity,"j":-Infinity}"#, #"{"a":1,"a":2}"#,
    ])
  func objects(text: String) { #expect(isObject(text)) }

  @Test(
    "everything else is not",
    arguments: [
      "", " ", "[]", "1", "null", #""x""#, "{", "}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{,}"#, #"{"a":1}}"#, #"{"a":1}{}"#, #"{a:1}"#,
      #"{'a':1}"#, #"{"a":01}"#, #"{"a":1.}"#, #"{"a":.5}"#, #"{"a":+1}"#, #"{"a":1e}"#, #"{"a":"\x"}"#, #"{"a":"\u12g4"}"#,
      "{\"a\":\"\n\"}",
      #"{"a":tru}"#, #"{"a":[1,]}"#, #"{"a":[1 2]}"#, #"{"a":1 "b":2}"#, #"{"a":"#, #"{"a":""#, #"{"a":nan}"#, "{\"a\":\"\u{0}\"}",
    ])
  func notObjects(text: String) { #expect(!isObject(text)) }

  @Test(
    "on one line, halves of surrogate pairs become U+FFFD, and everything else stays",
    arguments: [
      (#"{"a":"\ud800"}"#, #"{"a":"\ufffd"}"#), (#"{"a":"\udc00\ud83d\ude00"}"#, #"{"a":"\ufffd\ud83d\ude00"}"#),
      (#"{"a":"\ud800\ud83d\ude00"}"#, #"{"a":"\ufffd\ud83d\ude00"}"#), (#"{"a":"\\ud800 \u00e9\n"}"#, #"{"a":"\\ud800 \u00e9\n"}"#),
    ])
  func surrogates(text: String, line: String) {
    #expect(JSONText.oneLine(Array(text.utf8)).text == line)
    #expect(JSONText.oneLine(Array(text.utf8), keepsNonFinite: true).text == text)
  }

  @Test("nesting ends at 256")
  func depth() {
    func nested(_ depth: Int) -> String {
      "{\"a\":" + String(repeating: "[", count: depth - 1) + String(repeating: "]", count: depth - 1) + "}"
    }
    #expect(isObject(nested(256)))
    #expect(!isObject(nested(257)))
    #expect(!isObject(String(repeating: "{\"a\":", count: 100_000)))
  }

  @Test("kind, time and subjects are read from a custom record, the last of a repeated key, escapes and all")
  func members() throws {
    let json =
      #"{"kind":"a","k\u0069nd":"b\u00e9","at":"now","agent_id":7,"task_id":"t","participants":["p\/1",3,["no"],"p2"],"x":{"channel_id":"no"}}"#
    let record = try #require(try Translation().records(ofEvents: [try EventEncoder().encode(.custom(json: Array(json.utf8)))]).first)
    #expect(record.kind == "bé")
    #expect(record.at == "now")
    #expect(try record.json()?.text == json)
    func matches(_ filter: RecordFilter) -> Bool { record.encoded.withUnsafeBytes { RecordMatcher(filter).matches($0) } }
    #expect(matches(RecordFilter(tasks: ["t"])))
    #expect(matches(RecordFilter(agents: ["p/1"])))
    #expect(matches(RecordFilter(agents: ["p2"])))
    #expect(!matches(RecordFilter(agents: ["no"])))
    #expect(!matches(RecordFilter(agents: ["7"])))
    #expect(!matches(RecordFilter(channels: ["no"])))
  }

  @Test("a kind that no text field can hold leaves the record without one")
  func impossibleKind() throws {
    for json in [#"{"kind":"\ud800"}"#, #"{"kind":"a\u0000"}"#, #"{"kind":3}"#, #"{"kind":"x","kind":null}"#] {
      let record = try #require(try Translation().records(ofEvents: [try EventEncoder().encode(.custom(json: Array(json.utf8)))]).first)
      #expect(record.kind == nil)
      #expect(try record.json()?.text == json)
    }
  }
}
