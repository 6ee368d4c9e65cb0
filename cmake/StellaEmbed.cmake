# stella_embed(<target> <file> <header> <name>): compiles the text of a file into a target, as the std::string_view
# stella::server::<name> that <header> declares. Run as a script (cmake -P) this file writes the source.
if(CMAKE_SCRIPT_MODE_FILE)
  file(READ "${FILE}" text)
  file(WRITE "${OUT}" "#include \"${HEADER}\"\n\nnamespace stella::server {\n\n"
    "const std::string_view ${NAME} = R\"stella(${text})stella\";\n\n}  // namespace stella::server\n")
  return()
endif()

set(STELLA_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(stella_embed target file header name)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  add_custom_command(OUTPUT ${source}
    COMMAND ${CMAKE_COMMAND} -DFILE=${CMAKE_CURRENT_SOURCE_DIR}/${file} -DHEADER=${header} -DNAME=${name} -DOUT=${source} -P ${STELLA_EMBED_SCRIPT}
    DEPENDS ${file} ${STELLA_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${source})
endfunction()
