# cmake -D PROGRAM=file -D DIRECTORY=folder -P run_embedded.cmake: the example twice, on a new directory and on the one it
# left; both must say the same, and what is expected.
set(expected "wrote 5 words, durable in the log
plinth: P L IH1 N TH
words on AA L AH M:
  column  K AA1 L AH0 M
  solemn  S AA1 L AH0 M
three words from 'd' on:
  hat  HH AE1 T
  plinth  P L IH1 N TH
  solemn  S AA1 L AH0 M
hat corrected to 'HH AE2 T'
hat is 'HH AE2 T', left alone
cat: not there
flushed: the Parquet files are in ${DIRECTORY}
")
file(REMOVE_RECURSE ${DIRECTORY})
foreach(round first second)
  execute_process(COMMAND ${PROGRAM} ${DIRECTORY} OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE code)
  if(NOT code EQUAL 0 OR NOT output STREQUAL expected)
    message(FATAL_ERROR "the ${round} run ended with ${code}:\n${output}${errors}")
  endif()
endforeach()
