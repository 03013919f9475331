# libplinth.so: the embedded engine, from the rooms up to query/. Only what include/plinth.h and plinth_jobs.h declare is visible.
include(GNUInstallDirs)

file(WRITE ${PROJECT_BINARY_DIR}/libplinth.c "/* The library is made of the rooms' static libraries. */\n")
add_library(libplinth SHARED ${PROJECT_BINARY_DIR}/libplinth.c)
target_link_options(libplinth PRIVATE
  LINKER:--whole-archive,$<TARGET_FILE:plinth_query>,$<TARGET_FILE:plinth_engine>,$<TARGET_FILE:plinth_base>,--no-whole-archive)
target_link_libraries(libplinth PRIVATE plinth_query plinth_engine plinth_base)
set_target_properties(libplinth PROPERTIES
  OUTPUT_NAME plinth PREFIX lib VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
  PUBLIC_HEADER "${PROJECT_SOURCE_DIR}/include/plinth.h;${PROJECT_SOURCE_DIR}/include/plinth_jobs.h;${PROJECT_SOURCE_DIR}/include/plinth_status.h;${PROJECT_SOURCE_DIR}/include/plinth_arrow.h")
target_include_directories(libplinth INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

configure_file(cmake/plinth.pc.in ${PROJECT_BINARY_DIR}/plinth.pc @ONLY)
install(TARGETS libplinth)
install(FILES ${PROJECT_BINARY_DIR}/plinth.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
