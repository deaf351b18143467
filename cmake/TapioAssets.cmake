# SPDX-License-Identifier: Apache-2.0
# cmake -DDIRECTORY=... -DOUTPUT=FILE.c -P TapioAssets.cmake
# Writes the files of the page as arrays of bytes, so that the server needs no files.
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(arrays "")
set(rows "")
set(number 0)
foreach(name index.html app.js style.css)
	file(READ ${DIRECTORY}/${name} hex HEX)
	# Sixteen to a line.
	string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes ${hex})
	string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes ${bytes})
	get_filename_component(extension ${name} LAST_EXT)
	string(SUBSTRING ${extension} 1 -1 extension)
	string(APPEND arrays "static const unsigned char data${number}[] = {\n${bytes}};\n")
	string(APPEND rows "\t{\"/${name}\", \"${type_${extension}}\", data${number}, sizeof(data${number})},\n")
	math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* SPDX-License-Identifier: Apache-2.0 */
/* Made from tools/shmstat/page by cmake/TapioAssets.cmake. */
#include \"tools/shmstat/serve/http.h\"

${arrays}
const struct http_asset http_assets[] = {
${rows}};
const size_t http_asset_count = ${number};
")
